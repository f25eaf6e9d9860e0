//! Kind `gas-sensor`: readings judged over time, the alarm in a group sent once as a shutdown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::finite;
use crate::prelude::*;

/// What a sensor reports.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Reading {
    /// Gas in the air, parts per million.
    pub ppm: f64,
    /// When it was measured, milliseconds since 1970 UTC. Without it the source's own time counts,
    /// and without that the time at which the engine took the message.
    pub time_ms: Option<u64>,
}

/// The state of one sensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GasSensor {
    /// The last reading, parts per million.
    pub ppm: f64,
    /// Since when readings have been above the limit, milliseconds since 1970 UTC; none while the
    /// last one was not.
    pub above_since_ms: Option<u64>,
    /// Whether the alarm is on.
    pub alarm: bool,
}

impl TwinModel for GasSensor {
    type Message<'m> = Reading;
}

/// Raises the alarm at once above a spike, or when readings stay above the limit for too long;
/// clears it with the first reading that is not above the limit.
///
/// Feedback: `"alarm"` and `"clear"`. When an alarm is found in a call of several readings, it is
/// old news by then, and the sensor's site is told to shut down: `"shutdown"`, once for the call,
/// and `"clear"` after it if the alarm was over at the end of the call.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GasWatch {
    /// Readings may be above this for `limit_secs`. Parts per million, default 50. Since 0.1.0.
    #[serde(deserialize_with = "finite")]
    pub limit_ppm: f64,
    /// A reading above this is an alarm at once. Parts per million, default 200. Since 0.1.0.
    #[serde(deserialize_with = "finite")]
    pub spike_ppm: f64,
    /// Above the limit for longer than this is an alarm. Seconds, default 30. Since 0.1.0.
    pub limit_secs: u64,
}

impl Default for GasWatch {
    fn default() -> Self {
        Self { limit_ppm: 50.0, spike_ppm: 200.0, limit_secs: 30 }
    }
}

impl GasWatch {
    fn judge(&self, sensor: &mut GasSensor, ppm: f64, time_ms: u64) {
        sensor.ppm = ppm;
        if ppm > self.limit_ppm {
            // Readings may come out of order; the earliest of them began it.
            let since = sensor.above_since_ms.map_or(time_ms, |since| since.min(time_ms));
            sensor.above_since_ms = Some(since);
            sensor.alarm |= time_ms - since > self.limit_secs.saturating_mul(1000);
        } else {
            sensor.above_since_ms = None;
            sensor.alarm = false;
        }
        sensor.alarm |= ppm > self.spike_ppm;
    }
}

impl MessageProcessor for GasWatch {
    type Model = GasSensor;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        sensor: &mut GasSensor,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        let was_on = sensor.alarm;
        let mut raised = false;
        for (reading, info) in readings.with_info() {
            let taken = info.source_time.unwrap_or(info.received_at);
            let was_on = sensor.alarm;
            self.judge(sensor, reading.ppm, reading.time_ms.unwrap_or(taken.as_millis()));
            raised |= sensor.alarm && !was_on;
        }
        if raised {
            cx.send_to_data_source(if readings.len() > 1 { "shutdown" } else { "alarm" })?;
        }
        if (was_on || raised) && !sensor.alarm {
            cx.send_to_data_source("clear")?;
        }
        Ok(Outcome::Update)
    }
}

#[cfg(test)]
mod tests;
