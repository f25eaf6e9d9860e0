//! Which devices the live table shows: those where something happens.

use std::sync::Arc;

use super::{
    models::TURBINES,
    record::{Display, Record, Way},
};

/// Devices of each kind.
const SHOWN: usize = 3;
const CELSIUS_OF_A_BAR: f64 = 120.0;
const PPM_OF_A_BAR: f64 = 300.0;

/// A device that is shown.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) id: String,
    pub(super) way: Way,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// The value of a full bar.
    pub(super) full: f64,
    pub(super) doing: &'static str,
}

/// Turbines that were hot at first, so that they brake soon, and sensors with a leak.
#[derive(Debug)]
pub(super) struct Samples {
    turbines: Vec<Arc<Record>>,
    sensors: Vec<Arc<Record>>,
    all_sensors: Vec<Arc<Record>>,
}

impl Samples {
    pub(super) fn new(records: &[Arc<Record>]) -> Self {
        let (mut turbines, all_sensors): (Vec<_>, Vec<_>) =
            records.iter().cloned().partition(|record| record.model == TURBINES);
        turbines.sort_by(|a, b| b.display().value.total_cmp(&a.display().value));
        turbines.truncate(SHOWN);
        let sensors = all_sensors.iter().take(SHOWN).cloned().collect();
        Self { turbines, sensors, all_sensors }
    }

    /// What they show now. A quiet sensor makes room for one with a leak.
    pub(super) fn now(&mut self) -> Vec<Sample> {
        let is_quiet = |record: &Arc<Record>| record.display().doing.is_empty();
        let mut leaking = self.all_sensors.iter().filter(|record| record.display().is_leak());
        for place in 0..self.sensors.len() {
            if is_quiet(&self.sensors[place]) {
                let is_new = |record: &&Arc<Record>| {
                    !self.sensors.iter().any(|shown| Arc::ptr_eq(shown, record))
                };
                if let Some(fresh) = leaking.find(is_new) {
                    self.sensors[place] = Arc::clone(fresh);
                }
            }
        }
        let turbine = |record| sample(record, "C", CELSIUS_OF_A_BAR);
        let sensor = |record| sample(record, "ppm", PPM_OF_A_BAR);
        let turbines = self.turbines.iter().map(turbine);
        turbines.chain(self.sensors.iter().map(sensor)).collect()
    }
}

fn sample(record: &Arc<Record>, unit: &'static str, full: f64) -> Sample {
    let Display { value, doing } = record.display();
    Sample { id: record.id.clone(), way: record.way, value, unit, full, doing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{models::GAS_SENSORS, record::LEAK};

    #[test]
    fn the_hottest_turbines_stay_and_quiet_sensors_give_way_to_leaks() {
        let record = |model, place: usize| {
            let record = Arc::new(Record::new(model, format!("{model}-{place}"), Way::Http));
            record.show(Display { value: place as f64, doing: "" });
            record
        };
        let turbines = (0..5).map(|place| record(TURBINES, place));
        let sensors = (0..5).map(|place| record(GAS_SENSORS, place));
        let records: Vec<_> = turbines.chain(sensors).collect();
        let mut samples = Samples::new(&records);
        let mut shown =
            || samples.now().into_iter().map(|sample| sample.value as u32).collect::<Vec<_>>();
        assert_eq!(shown(), [4, 3, 2, 0, 1, 2]);
        records[9].show(Display { value: 200.0, doing: LEAK });
        records[4].show(Display { value: 50.0, doing: "braking" });
        assert_eq!(shown(), [50, 3, 2, 200, 1, 2]);
        assert_eq!(shown(), [50, 3, 2, 200, 1, 2]);
    }
}
