//! One simulated device: it measures, sends what it measured, and does what its twin says.

use std::{ops::Range, sync::Arc, time::Duration};

use axum::body::Bytes;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    answer::{Handled, Waiting},
    models::{GAS_SENSORS, TURBINES},
    random::Random,
    record::{Display, LEAK, Record, Way},
    sensor::SimulatedSensor,
    turbine::SimulatedTurbine,
};

/// The weather is the same in every run.
const SEED: u64 = 0x0007_1312_f10c;
/// One message in so many lacks its measurement and becomes a dead letter.
const ONE_BAD_IN: u64 = 5_000;
/// One turn in so many has a second measurement, so that some calls get a group.
pub(super) const ONE_DOUBLE_IN: u64 = 8;
/// Measurements that a device keeps for one upload; it measures no more until they are sent.
const UPLOAD_MAX: usize = 16;

#[derive(Debug)]
enum Thing {
    Turbine(SimulatedTurbine),
    Sensor(SimulatedSensor),
}

/// A device as its task has it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) record: Arc<Record>,
    /// When it is to measure next.
    pub(super) turn: Instant,
    thing: Thing,
    random: Random,
    /// Whether its third message is bad, so that a short run shows a dead letter.
    is_clumsy: bool,
    sent: u64,
    /// The epoch of its last answer.
    heard: u64,
}

/// What a device sends in one turn.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    /// Numbers of its messages.
    pub(super) numbers: Range<u64>,
    /// When each was due.
    pub(super) due: Vec<Instant>,
    /// One object a message.
    pub(super) messages: Vec<Value>,
}

impl Upload {
    /// All messages in one request: one object, or an array of several.
    pub(super) fn body(&self) -> Bytes {
        let body = match &self.messages[..] {
            [only] => only.to_string(),
            several => Value::from(several.to_vec()).to_string(),
        };
        body.into()
    }
}

impl Device {
    /// The device with this place in the fleet: turbines at even places, gas sensors at odd ones.
    pub(super) fn new(place: usize, way: Way, turn: Instant) -> Self {
        let mut random = Random::new(SEED ^ ((place as u64) << 20));
        let (model, id, thing) = if place.is_multiple_of(2) {
            let turbine = SimulatedTurbine::new(&mut random);
            (TURBINES, format!("turbine-{:04}", place / 2), Thing::Turbine(turbine))
        } else {
            let sensor = SimulatedSensor::new(&mut random);
            (GAS_SENSORS, format!("sensor-{:04}", place / 2), Thing::Sensor(sensor))
        };
        let (record, is_clumsy) = (Arc::new(Record::new(model, id, way)), is_clumsy(place, way));
        let device = Self { record, turn, thing, random, is_clumsy, sent: 0, heard: 0 };
        device.display();
        device
    }

    /// Measures what is due by `now` and moves the turn. Without a period: a full load.
    pub(super) fn measure(&mut self, now: Instant, period: Option<Duration>) -> Upload {
        let due = match period {
            Some(period) => self.due(now, period),
            None => vec![now; UPLOAD_MAX / 2],
        };
        let first = self.sent + 1;
        let messages = due.iter().map(|_| self.message()).collect();
        let sent = self.sent;
        self.record.note(|log| log.sent = sent);
        self.display();
        Upload { numbers: first..sent + 1, due, messages }
    }

    fn due(&mut self, now: Instant, period: Duration) -> Vec<Instant> {
        let mut due = vec![self.turn];
        if self.random.once_in(ONE_DOUBLE_IN) {
            due.push(self.turn);
        }
        self.turn += period;
        // What was due while the engine did not answer goes along.
        while self.turn <= now && due.len() < UPLOAD_MAX {
            due.push(self.turn);
            self.turn += period;
        }
        due
    }

    fn message(&mut self) -> Value {
        self.sent += 1;
        let (name, value) = match &mut self.thing {
            Thing::Turbine(turbine) => ("bearing_celsius", turbine.measure(&mut self.random)),
            Thing::Sensor(sensor) => ("ppm", sensor.measure(&mut self.random)),
        };
        let mut message = Map::new();
        message.insert("number".into(), self.sent.into());
        let bad = self.random.once_in(ONE_BAD_IN) || (self.is_clumsy && self.sent == 3);
        if !bad {
            message.insert(name.into(), ((value * 10.0).round() / 10.0).into());
        }
        Value::Object(message)
    }

    /// Notes an answer in the log and obeys its commands.
    pub(super) fn handled(&mut self, upload: &Upload, handled: &Handled) {
        self.heard = self.heard.max(handled.epoch);
        self.record.note(|log| {
            for number in upload.numbers.clone() {
                let index = number - upload.numbers.start;
                let is_dead = handled.dead.contains(&index);
                let log = if is_dead { &mut log.dead_letters } else { &mut log.applied };
                log.insert(number);
            }
        });
        self.obey(handled.commands.iter().map(String::as_str));
    }

    /// Obeys what waited for it. What belongs to an epoch that an answer told of came with that
    /// answer: such a message is the same command again (law D6).
    pub(super) fn fetched(&mut self, waiting: &[Waiting]) {
        let fresh = waiting.iter().filter(|message| message.epoch > self.heard);
        let fresh: Vec<_> = fresh.map(|message| message.command.clone()).collect();
        self.heard = waiting.iter().map(|message| message.epoch).fold(self.heard, u64::max);
        self.obey(fresh.iter().map(String::as_str));
    }

    /// Does what its twin says.
    pub(super) fn obey<'c>(&mut self, commands: impl Iterator<Item = &'c str>) {
        for command in commands {
            self.record.note(|log| log.received(command));
            match &mut self.thing {
                Thing::Turbine(turbine) => turbine.obey(command),
                Thing::Sensor(sensor) => sensor.obey(command),
            }
        }
        self.display();
    }

    fn display(&self) {
        let (value, doing) = match &self.thing {
            Thing::Turbine(turbine) if turbine.is_braking() => (turbine.celsius(), "braking"),
            Thing::Turbine(turbine) => (turbine.celsius(), ""),
            Thing::Sensor(sensor) if sensor.is_ventilating() => (sensor.ppm(), "fans on"),
            Thing::Sensor(sensor) if sensor.is_leaking() => (sensor.ppm(), LEAK),
            Thing::Sensor(sensor) => (sensor.ppm(), ""),
        };
        self.record.show(Display { value, doing });
    }
}

/// The first device of each way.
fn is_clumsy(place: usize, way: Way) -> bool {
    let first = match way {
        Way::Http => 0,
        Way::Mqtt => 2,
    };
    place == first
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(500);

    fn handled(commands: &[&str], dead: &[u64]) -> Handled {
        let commands = commands.iter().map(ToString::to_string).collect();
        Handled { epoch: 7, commands, dead: dead.to_vec() }
    }

    #[test]
    fn half_are_turbines_half_are_sensors_and_each_run_is_the_same() {
        let now = Instant::now();
        let run = |place| {
            let mut device = Device::new(place, Way::Http, now);
            (0..50).map(|_| device.measure(now, None).body()).collect::<Vec<_>>()
        };
        assert_eq!(run(4), run(4));
        assert_ne!(run(4), run(6));
        assert_eq!(Device::new(4, Way::Http, now).record.id, "turbine-0002");
        assert_eq!(Device::new(5, Way::Http, now).record.model, GAS_SENSORS);
    }

    #[test]
    fn a_device_that_was_not_answered_sends_what_was_due_meanwhile_in_one_array() {
        let start = Instant::now();
        let mut device = Device::new(2, Way::Http, start);
        let upload = device.measure(start + PERIOD * 3, Some(PERIOD));
        assert!(upload.due.len() >= 4, "{:?}", upload.due);
        assert_eq!(device.turn, start + PERIOD * 4);
        let messages: Vec<Value> = serde_json::from_slice(&upload.body()).unwrap();
        assert_eq!(messages.len() as u64, upload.numbers.end - upload.numbers.start);
        assert_eq!(messages[0]["number"], 1);
        let long_after = device.measure(start + PERIOD * 300, Some(PERIOD));
        assert_eq!(long_after.due.len(), UPLOAD_MAX);
    }

    #[test]
    fn the_log_has_numbers_by_their_answer_and_counts_commands() {
        let now = Instant::now();
        let mut device = Device::new(0, Way::Http, now);
        let upload = device.measure(now, None);
        let third = &upload.messages[2];
        assert!(third.get("bearing_celsius").is_none(), "{third}");
        device.handled(&upload, &handled(&["brake"], &[2]));
        let log = device.record.log();
        assert_eq!((log.sent, log.acknowledged(), log.dead_letters.len()), (8, 8, 1));
        assert_eq!(log.dead_letters, [3].into_iter().collect());
        assert_eq!(device.record.display().doing, "braking");
        assert_eq!(log.commands[0], 1);
    }

    #[test]
    fn law_d6_a_command_that_came_with_an_answer_is_not_counted_again() {
        let now = Instant::now();
        let mut device = Device::new(0, Way::Http, now);
        let upload = device.measure(now, None);
        device.handled(&upload, &handled(&["brake"], &[]));
        let waiting = |epoch| Waiting { epoch, command: "brake".into() };
        device.fetched(&[waiting(7), waiting(9)]);
        device.fetched(&[waiting(9)]);
        assert_eq!(device.record.log().commands[0], 2);
    }
}
