//! A gateway: one connection to the broker and the devices behind it.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::wire::{Command, Heard, Wire};
use crate::demo::{
    check::Reader,
    device::{Device, Upload},
    fleet::{Shared, deal},
    record::Record,
};

/// Gateways of a fleet, if it has so many devices.
pub(super) const LINES_MAX: usize = 8;
/// Every gateway hears the commands of all and keeps those of its own.
const COMMANDS: &str = "demo/+/+/command";
/// After so many messages a gateway waits for the twins. A broker takes far more than any engine
/// handles, and forgets what nobody fetches.
const AHEAD_MAX: u64 = 256;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A message that the broker has not taken after so long is given up.
const TAKE_LIMIT: Duration = Duration::from_secs(120);
/// Ids of commands that a device remembers. One that comes again was among the last.
const IDS_KEPT: usize = 64;

/// Set once, to the time at which everything is given up.
type Stopped = watch::Receiver<Option<Instant>>;

/// Starts the gateways of these devices.
pub(in crate::demo) fn spawn_lines(
    tasks: &mut JoinSet<()>,
    devices: Vec<Device>,
    broker: SocketAddr,
    engine: SocketAddr,
    shared: &Arc<Shared>,
    stopped: &Stopped,
) {
    for (number, devices) in deal(devices, LINES_MAX).into_iter().enumerate() {
        let members = devices.into_iter().map(Member::new).collect::<Vec<_>>();
        let places = members.iter().enumerate();
        let places = places.map(|(place, member)| (member.topic("command"), place)).collect();
        let (shared, stopped) = (Arc::clone(shared), stopped.clone());
        tasks.spawn(async move {
            let wire = Wire::connect(broker, &format!("gateway-{number}"), COMMANDS);
            let behind = Behind { engine, newest: None, ahead: 0 };
            let line = Line { wire, members, places, shared, stopped, taken: 0, behind };
            line.serve().await;
        });
    }
}

/// A device, and the commands that it knows.
struct Member {
    device: Device,
    telemetry: String,
    ids: VecDeque<String>,
}

impl Member {
    fn new(device: Device) -> Self {
        let mut member = Self { device, telemetry: String::new(), ids: VecDeque::new() };
        member.telemetry = member.topic("telemetry");
        member
    }

    fn topic(&self, what: &str) -> String {
        let Record { model, id, .. } = &*self.device.record;
        format!("demo/{model}/{id}/{what}")
    }

    /// Obeys a command, once (law D6).
    fn obey(&mut self, command: Command) {
        if self.ids.contains(&command.id) {
            return;
        }
        if self.ids.len() == IDS_KEPT {
            self.ids.pop_front();
        }
        self.ids.push_back(command.id);
        self.device.obey([command.text.as_str()].into_iter());
    }

    /// The broker has all of it.
    fn taken(&mut self, upload: &Upload) {
        self.device.record.note(|log| {
            for (number, message) in upload.numbers.clone().zip(&upload.messages) {
                let is_spoiled = is_spoiled(message);
                let log = if is_spoiled { &mut log.spoiled } else { &mut log.applied };
                log.insert(number);
            }
        });
    }
}

/// Whether there is nothing in it but its number.
fn is_spoiled(message: &Value) -> bool {
    message.as_object().is_some_and(|fields| fields.len() == 1)
}

/// How far the twins are behind the broker.
struct Behind {
    engine: SocketAddr,
    /// The newest message that has to be in its twin's state.
    newest: Option<(Arc<Record>, u64)>,
    /// Messages since the last look.
    ahead: u64,
}

impl Behind {
    /// Waits for that message: the engine handles those of one connection in their order, so that
    /// nothing that was published before it is still on its way then.
    fn catch_up(&mut self, stopped: Stopped) -> Option<JoinHandle<()>> {
        self.ahead = 0;
        let (record, number) = self.newest.take()?;
        Some(tokio::spawn(applied(self.engine, record, number, stopped)))
    }
}

async fn applied(engine: SocketAddr, record: Arc<Record>, number: u64, stopped: Stopped) {
    let wanted = [number].into_iter().collect::<crate::demo::Numbers>();
    // Away or slow, it is asked again and again.
    let mut reader = Reader::new(engine, Instant::now());
    loop {
        let twin = reader.applied(&record).await;
        let is_there = twin.is_ok_and(|applied| wanted.missing_in(&applied.numbers) == 0);
        let given_up = *stopped.borrow();
        // If it never comes, the comparison at the end says so.
        if is_there || given_up.is_some_and(|limit| Instant::now() >= limit) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Line {
    wire: Wire,
    members: Vec<Member>,
    /// Places of the devices by their topics of commands.
    places: HashMap<String, usize>,
    shared: Arc<Shared>,
    stopped: Stopped,
    /// Messages that the broker took in this turn.
    taken: usize,
    behind: Behind,
}

impl Line {
    /// Each device in turn until the fleet stops.
    async fn serve(mut self) {
        if !self.subscribed().await {
            return;
        }
        loop {
            for place in 0..self.members.len() {
                if self.shared.period.is_some() {
                    self.listen_until(self.members[place].device.turn).await;
                }
                if self.stopped.borrow().is_some() {
                    return self.catch_up().await;
                }
                if !self.publish(place).await {
                    return;
                }
                if self.behind.ahead >= AHEAD_MAX {
                    self.catch_up().await;
                }
            }
        }
    }

    /// Commands that are sent before the broker knows of us are for nobody.
    async fn subscribed(&mut self) -> bool {
        match tokio::time::timeout(TAKE_LIMIT, self.wire.next()).await {
            Ok(Heard::Subscribed) => return true,
            Ok(other) => self.shared.refuse(format!("no subscription but {other:?}")),
            Err(_elapsed) => self.shared.refuse("the broker answers no subscription".into()),
        }
        false
    }

    /// Publishes what the device has, each message in a packet of its own.
    async fn publish(&mut self, place: usize) -> bool {
        let member = &mut self.members[place];
        let upload = member.device.measure(Instant::now(), self.shared.period);
        self.taken = 0;
        for message in &upload.messages {
            let message = message.to_string().into();
            if let Err(why) = self.wire.publish(&member.telemetry, message) {
                self.shared.refuse(why);
                return false;
            }
        }
        let limit = Instant::now() + TAKE_LIMIT;
        while self.taken < upload.messages.len() {
            let Ok(heard) = tokio::time::timeout_at(limit, self.wire.next()).await else {
                self.shared.refuse(format!("the broker took no message within {TAKE_LIMIT:?}"));
                return false;
            };
            if !self.hear(heard) {
                return false;
            }
        }
        let member = &mut self.members[place];
        member.taken(&upload);
        self.behind.ahead += upload.messages.len() as u64;
        let good = upload.numbers.clone().zip(&upload.messages);
        if let Some((number, _)) = good.filter(|(_, message)| !is_spoiled(message)).last() {
            self.behind.newest = Some((Arc::clone(&member.device.record), number));
        }
        true
    }

    /// Listens for commands until the twins have what was published.
    async fn catch_up(&mut self) {
        let Some(mut looking) = self.behind.catch_up(self.stopped.clone()) else { return };
        loop {
            tokio::select! {
                heard = self.wire.next() => if !self.hear(heard) { return },
                _ = &mut looking => return,
            }
        }
    }

    async fn listen_until(&mut self, turn: Instant) {
        loop {
            tokio::select! {
                heard = self.wire.next() => if !self.hear(heard) { return },
                () = tokio::time::sleep_until(turn) => return,
                _ = self.stopped.changed() => return,
            }
        }
    }

    /// `false`: it is no use to go on.
    fn hear(&mut self, heard: Heard) -> bool {
        match heard {
            Heard::Taken => self.taken += 1,
            Heard::Command(command) => {
                if let Some(place) = self.places.get(&command.topic) {
                    self.members[*place].obey(command);
                }
            }
            Heard::Subscribed => {}
            Heard::Refused(why) => {
                self.shared.refuse(why);
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::record::Way;

    #[test]
    fn law_d6_a_command_that_comes_again_is_obeyed_once() {
        let mut member = Member::new(Device::new(2, Way::Mqtt, Instant::now()));
        assert_eq!(member.telemetry, "demo/turbines/turbine-0001/telemetry");
        let command = |id: u32| Command {
            topic: "demo/turbines/turbine-0001/command".into(),
            id: id.to_string(),
            text: "brake".into(),
        };
        for id in 0..200 {
            member.obey(command(id));
            member.obey(command(id));
        }
        assert_eq!(member.device.record.log().commands[0], 200);
        assert_eq!(member.ids.len(), IDS_KEPT);
    }

    #[test]
    fn the_log_tells_spoiled_messages_from_those_that_have_to_be_applied() {
        let mut member = Member::new(Device::new(2, Way::Mqtt, Instant::now()));
        let upload = member.device.measure(Instant::now(), None);
        member.taken(&upload);
        let log = member.device.record.log();
        assert_eq!((log.sent, log.acknowledged(), log.unconfirmed()), (8, 8, 1));
        assert_eq!(log.spoiled, [3].into_iter().collect());
        assert_eq!(log.dead_letters.len(), 0, "nobody has seen it yet");
    }
}
