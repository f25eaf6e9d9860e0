//! Readings in raw units, a table of sensors beside them. Run it:
//! `cargo run --example enrich_from_table`. It needs nothing else: both streams come from
//! in-process brokers.
//!
//! The table is a model like any other: `sensor` has one twin for each sensor, and what the office
//! says of it is its state. `enrich` gives each reading the table; a sensor that moves to another
//! tank is told to the table and nobody else. The table is durable and there before the first
//! reading after a restart.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use twinflow::{connectors::memory::Memory, operators::pipeline::Table, prelude::*};

/// What the office knows of a sensor.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Sensor {
    tank: String,
    litres_per_step: f64,
}

impl TwinModel for Sensor {
    type Message<'m> = Sensor;
}

/// The last that was told counts.
struct Catalogue;

impl MessageProcessor for Catalogue {
    type Model = Sensor;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        sensor: &mut Sensor,
        told: Messages<'_, Sensor>,
    ) -> ProcessingResult {
        if let Some(last) = told.last() {
            *sensor = last.clone();
        }
        Ok(Outcome::Update)
    }
}

/// A tank, in litres.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Tank {
    litres: f64,
}

impl TwinModel for Tank {
    type Message<'m> = f64;
}

struct Level;

impl MessageProcessor for Level {
    type Model = Tank;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        tank: &mut Tank,
        litres: Messages<'_, f64>,
    ) -> ProcessingResult {
        tank.litres += litres.iter().sum::<f64>();
        Ok(Outcome::Update)
    }
}

/// Steps of a sensor become litres of the tank that it is in.
fn to_litres(
    reading: &Inbound<'_>,
    sensors: &Table<Sensor>,
    out: &mut Out<'_>,
) -> Result<(), ProcessingError> {
    let steps: f64 = reading.deserialize()?;
    let Some(sensor) = sensors.get(reading.twin) else {
        // It becomes a dead letter, with this reason.
        return Err(ProcessingError::message(format!("nobody knows sensor {}", reading.twin)));
    };
    out.emit_to(&Route::model("tank", &sensor.tank), &(steps * sensor.litres_per_step))
}

/// Runs the example; a test of the repository does, too.
pub(crate) fn main() -> twinflow::Result<()> {
    let (field, office) = (Memory::replayable(2), Memory::replayable(1));
    let (at_field, at_office) = (field.broker(), office.broker());
    let engine = Engine::builder()
        .model("tank", Level)
        .model("sensor", Catalogue)
        .connection("field", field)
        .connection("office", office)
        .memory_store()
        .dataflow(|feed| {
            let models = feed.models();
            feed.enrich("sensor", to_litres).process(models).settle()
        })
        .start()?;

    let tell = |sensor: &str, tank: &str, litres_per_step: f64, count: u64| {
        let row = serde_json::json!({ "tank": tank, "litres_per_step": litres_per_step });
        at_office.send("sensor", sensor, row.to_string());
        assert!(at_office.wait(Duration::from_secs(10), |it| it.acknowledged() == count));
    };
    tell("s-1", "north", 0.5, 1);
    for steps in ["10", "20"] {
        at_field.send("tank", "s-1", steps);
    }
    at_field.send("tank", "s-9", "7");
    assert!(at_field.wait(Duration::from_secs(10), |it| it.acknowledged() == 3));
    tell("s-1", "south", 2.0, 2);
    at_field.send("tank", "s-1", "10");
    assert!(at_field.wait(Duration::from_secs(10), |it| it.acknowledged() == 4));

    for (tank, expected) in [("north", 15.0), ("south", 20.0)] {
        let litres = engine.twin::<Tank>("tank", tank)?.unwrap_or_default().litres;
        println!("tank {tank}: {litres} litres");
        assert!((litres - expected).abs() < 1e-9, "{tank} should have {expected} litres");
    }
    let letters = engine.handle().dead_letters().list(0, 10);
    for letter in &letters {
        println!("dead letter {}: {}", letter.number, letter.reason);
    }
    assert_eq!(letters.len(), 1);
    println!("{}", engine.stop()?);
    Ok(())
}
