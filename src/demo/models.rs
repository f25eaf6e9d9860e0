//! The twins of the demonstration: the stock turbine and gas sensor, which also keep the number of
//! every message that they applied, so that each device's log can be checked against its twin.

use serde::{Deserialize, Serialize};

use super::numbers::Numbers;
use crate::{
    models::{
        gas_sensor::{self, GasSensor, GasWatch},
        wind_turbine::{self, BearingWatch, WindTurbine},
    },
    prelude::*,
};

/// The name that the turbines' twins are known under.
pub const TURBINES: &str = "turbines";
/// The name that the gas sensors' twins are known under.
pub const GAS_SENSORS: &str = "gas-sensors";

/// What a twin applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// How many messages, repeated ones included.
    pub count: u64,
    /// Their numbers.
    pub numbers: Numbers,
}

impl Applied {
    fn add(&mut self, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            self.count += 1;
            self.numbers.insert(number);
        }
    }
}

/// What a turbine sends.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct TurbineReading {
    /// The message's number in the turbine's log.
    pub number: u64,
    /// Temperature of the main bearing in degrees Celsius.
    pub bearing_celsius: f64,
}

/// The state of one turbine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Turbine {
    /// The newest reading.
    pub bearing_celsius: f64,
    /// The stock model's state.
    pub watch: WindTurbine,
    /// What was applied.
    pub applied: Applied,
}

impl TwinModel for Turbine {
    type Message<'m> = TurbineReading;
}

/// The stock [`BearingWatch`] around a [`Turbine`].
#[derive(Clone, Debug, Default)]
pub struct TurbineWatch(pub BearingWatch);

impl MessageProcessor for TurbineWatch {
    type Model = Turbine;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        turbine: &mut Turbine,
        readings: Messages<'_, TurbineReading>,
    ) -> ProcessingResult {
        let infos: Vec<_> = readings.with_info().map(|(_, info)| *info).collect();
        let stock = |reading: &TurbineReading| wind_turbine::Reading {
            bearing_celsius: reading.bearing_celsius,
        };
        let stock: Vec<_> = readings.iter().map(stock).collect();
        turbine.bearing_celsius =
            readings.last().map_or(turbine.bearing_celsius, |newest| newest.bearing_celsius);
        turbine.applied.add(readings.iter().map(|reading| reading.number));
        self.0.process_messages(cx, &mut turbine.watch, Messages::new(&stock, &infos))
    }
}

/// What a gas sensor sends.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct GasReading {
    /// The message's number in the sensor's log.
    pub number: u64,
    /// Gas in the air, parts per million.
    pub ppm: f64,
}

/// The state of one gas sensor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sensor {
    /// The stock model's state.
    pub watch: GasSensor,
    /// What was applied.
    pub applied: Applied,
}

impl TwinModel for Sensor {
    type Message<'m> = GasReading;
}

/// The stock [`GasWatch`] around a [`Sensor`].
#[derive(Clone, Debug, Default)]
pub struct SensorWatch(pub GasWatch);

impl MessageProcessor for SensorWatch {
    type Model = Sensor;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        sensor: &mut Sensor,
        readings: Messages<'_, GasReading>,
    ) -> ProcessingResult {
        let infos: Vec<_> = readings.with_info().map(|(_, info)| *info).collect();
        let stock = |reading: &GasReading| gas_sensor::Reading { ppm: reading.ppm, time_ms: None };
        let stock: Vec<_> = readings.iter().map(stock).collect();
        sensor.applied.add(readings.iter().map(|reading| reading.number));
        self.0.process_messages(cx, &mut sensor.watch, Messages::new(&stock, &infos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turbine_brakes_like_the_stock_one_and_keeps_the_numbers() {
        let mut turbine = TestTwin::new(TurbineWatch::default());
        let hot = |number| format!(r#"{{"number":{number},"bearing_celsius":96}}"#);
        let bad = r#"{"number":4}"#;
        let call = turbine.call(&[&hot(1), &hot(2), &hot(3), bad, &hot(5), &hot(5)]);
        assert_eq!((call.undecodable, call.feedback.len()), (1, 1));
        let applied = &turbine.state.applied;
        assert_eq!((applied.count, applied.numbers.len()), (5, 4), "5 came twice");
        assert_eq!(turbine.state.watch.hot_readings, 1);
    }

    #[test]
    fn a_sensor_alarms_like_the_stock_one_and_keeps_the_numbers() {
        let mut sensor = TestTwin::new(SensorWatch::default());
        assert_eq!(sensor.call(&[r#"{"number":1,"ppm":250}"#]).feedback, ["alarm"]);
        assert_eq!(sensor.call(&[r#"{"number":2,"ppm":20}"#]).feedback, ["clear"]);
        assert_eq!(sensor.state.applied.numbers, (1..=2).collect());
    }
}
