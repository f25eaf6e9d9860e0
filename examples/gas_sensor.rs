//! Gas readings judged over time, one by one and several in one call. Run it:
//! `cargo run --example gas_sensor`.
//!
//! A twin that keeps *since when* needs no timer and no window: the state is the memory. Messages
//! that waited together come in one call, so the processor can tell news from history.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use serde::{Deserialize, Serialize};
use twinflow::prelude::*;

const LIMIT_PPM: f64 = 50.0;
const SPIKE_PPM: f64 = 200.0;
const ABOVE_MS_MAX: u64 = 30_000;

/// What a sensor reports: the time is the sensor's own.
#[derive(Deserialize)]
struct Reading {
    ppm: f64,
    time_ms: u64,
}

/// The live state of one sensor.
#[derive(Clone, Default, Serialize, Deserialize)]
struct GasSensor {
    above_since_ms: Option<u64>,
    alarm: bool,
}

impl TwinModel for GasSensor {
    type Message<'m> = Reading;
}

impl GasSensor {
    /// Takes one reading; says whether it raised the alarm.
    fn judge(&mut self, reading: &Reading) -> bool {
        let was_on = self.alarm;
        if reading.ppm > LIMIT_PPM {
            let since = *self.above_since_ms.get_or_insert(reading.time_ms);
            let above_ms = reading.time_ms.saturating_sub(since);
            self.alarm |= reading.ppm > SPIKE_PPM || above_ms > ABOVE_MS_MAX;
        } else {
            *self = Self::default();
        }
        self.alarm && !was_on
    }
}

struct GasWatch;

impl MessageProcessor for GasWatch {
    type Model = GasSensor;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        sensor: &mut GasSensor,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        let was_on = sensor.alarm;
        let raised = readings.iter().filter(|reading| sensor.judge(reading)).count() > 0;
        if raised {
            // Found among readings that waited, the alarm is old: act instead of warning.
            cx.send_to_data_source(if readings.len() > 1 { "shutdown" } else { "alarm" })?;
        }
        if (was_on || raised) && !sensor.alarm {
            cx.send_to_data_source("clear")?;
        }
        Ok(Outcome::Update)
    }
}

/// One call with readings of (ppm, seconds), and what came of it.
fn call(sensor: &mut TestTwin<GasWatch>, readings: &[(u32, u64)]) {
    let payloads: Vec<_> = readings
        .iter()
        .map(|(ppm, secs)| format!(r#"{{"ppm":{ppm},"time_ms":{}}}"#, secs * 1000))
        .collect();
    let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
    let feedback = sensor.call(&payloads).feedback;
    let readings: Vec<_> = readings.iter().map(|(ppm, secs)| format!("{ppm}@{secs}s")).collect();
    let feedback: Vec<_> = feedback.iter().map(ToString::to_string).collect();
    let alarm = if sensor.state.alarm { "on" } else { "off" };
    println!("{:<18} {alarm:<6} {}", readings.join(" "), feedback.join(" "));
}

fn main() {
    println!("ppm@time           alarm  feedback");
    let mut sensor = TestTwin::new(GasWatch);
    for reading in [(10, 0), (20, 1), (250, 2), (30, 3), (75, 10), (75, 35), (75, 41), (12, 50)] {
        call(&mut sensor, &[reading]);
    }
    println!("two readings that waited, 20 minutes apart, in one call:");
    call(&mut sensor, &[(75, 100), (75, 1300)]);
}
