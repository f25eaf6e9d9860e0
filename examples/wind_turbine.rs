//! A turbine runs hot and is told to brake. Run it: `cargo run --example wind_turbine`.
//!
//! It calls the twin as the engine would, without an engine around it.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use serde::{Deserialize, Serialize};
use twinflow::prelude::*;

/// What a turbine reports.
#[derive(TwinMessage)]
struct Reading {
    bearing_celsius: f64,
}

/// The live state of one turbine.
#[derive(Clone, Default, Serialize, Deserialize)]
struct WindTurbine {
    hot_readings: usize,
}

impl TwinModel for WindTurbine {
    type Message<'m> = Reading;
}

/// Brakes a turbine whose bearing was too hot four times.
struct BearingWatch {
    limit_celsius: f64,
}

impl MessageProcessor for BearingWatch {
    type Model = WindTurbine;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        turbine: &mut WindTurbine,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        let is_hot = |reading: &&Reading| reading.bearing_celsius > self.limit_celsius;
        turbine.hot_readings += readings.iter().filter(is_hot).count();
        if turbine.hot_readings > 3 {
            cx.send_to_data_source("brake")?;
            turbine.hot_readings = 0;
        }
        Ok(Outcome::Update)
    }
}

fn main() {
    let mut turbine = TestTwin::new(BearingWatch { limit_celsius: 95.0 });
    println!("message                      hot readings  feedback");
    for celsius in [71.5, 88.0, 96.2, 97.9, 94.1, 98.4, 99.0, 93.7] {
        let message = format!(r#"{{"bearing_celsius":{celsius:.1}}}"#);
        let call = turbine.call(&[&message]);
        let feedback: Vec<_> = call.feedback.iter().map(ToString::to_string).collect();
        println!("{message:<28} {:>12}  {}", turbine.state.hot_readings, feedback.join(" "));
    }

    // A message that makes no sense is set aside; the turbine is as it was.
    let call = turbine.call(&[r#"{"bearing_celsius":"hot"}"#]);
    println!(
        "{:<28} {:>12}  {} message set aside",
        r#"{"bearing_celsius":"hot"}"#, turbine.state.hot_readings, call.undecodable
    );
}
