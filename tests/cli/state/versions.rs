//! States of other versions: older ones are migrated, newer ones stop the start (law D9).

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use twinflow::{
    Engine,
    connectors::memory::{Memory, MemoryBroker},
    operators::{message::DecodeError, model::RawState},
    prelude::*,
};

use super::{PATIENCE, contents, info, state};
use crate::program::{directory, run};

#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

/// What the first release kept.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Old {
    celsius: f64,
}

/// What the next one keeps: another unit under another name, from the version 2 on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct New {
    millikelvin: u64,
}

impl TwinModel for Old {
    type Message<'m> = Reading;
}

impl TwinModel for New {
    type Message<'m> = Reading;

    const STATE_VERSION: u32 = 2;

    fn migrate(from: u32, state: RawState<'_>) -> Result<Self, DecodeError> {
        assert_eq!(from, 1);
        let old: Old = state.deserialize()?;
        Ok(Self { millikelvin: (old.celsius * 1000.0) as u64 + 273_150 })
    }
}

struct Keep;
struct KeepNew;

impl MessageProcessor for Keep {
    type Model = Old;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut Old,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        twin.celsius = readings.last().map_or(0.0, |reading| reading.celsius);
        Ok(Outcome::Update)
    }
}

impl MessageProcessor for KeepNew {
    type Model = New;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut New,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        let celsius = readings.last().map_or(0.0, |reading| reading.celsius);
        twin.millikelvin = (celsius * 1000.0) as u64 + 273_150;
        Ok(Outcome::Update)
    }
}

/// Writes ten twins of the model `rooms` with a processor.
fn written<P: MessageProcessor>(dir: &Path, processor: P, broker: &MemoryBroker) {
    for twin in 0..10 {
        let reading = format!("{{\"celsius\":{twin}.5}}");
        broker.send("rooms", &format!("room {twin}"), reading);
    }
    let engine = Engine::builder().workers(2).state_dir(dir).model("rooms", processor);
    let engine = engine.connection("plant", Memory::from(broker)).start().unwrap();
    assert!(broker.wait(PATIENCE, |broker| broker.acknowledged() >= 10));
    super::stop(engine, dir);
}

#[test]
fn law_d9_an_export_is_migrated_by_the_next_start_of_a_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let broker = Memory::acknowledged(20).broker();
    written(&from, Keep, &broker);
    let file = dir.path().join("export.json");
    let exported = state("export", &from, &[file.to_str().unwrap()]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(r#""id":"room 3","version":1,"state":{"celsius":3.5}"#), "{text}");
    assert_eq!(state("import", &to, &[file.to_str().unwrap()]).code, Some(0));

    let engine = Engine::builder().workers(3).state_dir(&to).model("rooms", KeepNew);
    let engine = engine.connection("plant", Memory::from(&broker)).start().unwrap();
    for twin in 0..10u64 {
        let state: New = engine.twin("rooms", &format!("room {twin}")).unwrap().unwrap();
        assert_eq!(state.millikelvin, twin * 1000 + 500 + 273_150);
    }
    super::stop(engine, &to);
    assert_eq!(info(&to)["twins"], 10);
}

#[test]
fn law_d9_a_state_of_a_newer_version_is_78_and_left_as_it_is() {
    let file = "[models.rooms]\ntype = \"wind-turbine\"\n[connections.plant]\ntype = \"rest\"\n";
    let dir = directory(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{file}"));
    let state_dir = dir.path().join("state");
    written(&state_dir, KeepNew, &Memory::acknowledged(20).broker());
    let before = contents(&state_dir);
    let started = run(dir.path(), &["run", "--no-supervise", "--log-format", "text"]);
    assert_eq!(started.code, Some(78), "{started:?}");
    for part in [
        "model \"rooms\": the stored state of twin \"room ",
        "it has state version 2, this program knows 1: it was written by a newer one",
        "twinflow state check",
    ] {
        assert!(started.err.contains(part), "{part}: {started:?}");
    }
    // A supervisor does not try that again.
    let supervised = run(dir.path(), &["run", "--log-format", "text"]);
    assert_eq!(supervised.code, Some(78), "{supervised:?}");
    let checked = run(dir.path(), &["state", "check"]);
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(checked.out.contains("it has state version 2"), "{checked:?}");
    let after = contents(&state_dir);
    for (name, bytes) in &before {
        // The marker says how far the log goes; a start claims the directory and writes a frame.
        let of_starts = ["segment-", "claim-", "LOCK", "twinflow-state"];
        let grown = of_starts.iter().any(|start| name.starts_with(start));
        assert!(grown || after.get(name) == Some(bytes), "{name} was changed");
    }
    assert_eq!(info(&state_dir)["twins"], 10, "nothing was lost");
}

#[test]
fn law_d9_a_state_that_does_not_fit_is_78_and_names_model_twin_and_field() {
    let file = "[models.rooms]\ntype = \"wind-turbine\"\n[connections.plant]\ntype = \"rest\"\n";
    let dir = directory(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{file}"));
    let to = dir.path().join("state");
    // Made by hand: a text where the model keeps a number.
    let mut text = String::from(
        r#"{"twinflow_state":{"format":1,"generation":1,"epoch":1,"time_us":1,"dead_letters_newest":0,"models":{"0":"rooms"},"connections":{}}}"#,
    );
    text.push('\n');
    text.push_str(
        r#"{"twin":{"model":"rooms","id":"attic","version":1,"state":{"hot_readings":"many"}}}"#,
    );
    text.push('\n');
    let crc = super::import::crc32(text.as_bytes());
    text.push_str(&format!("{{\"end\":{{\"lines\":2,\"twins\":1,\"crc32\":\"{crc:08x}\"}}}}\n"));
    fs::write(dir.path().join("export.json"), text).unwrap();
    let imported = state("import", &to, &[dir.path().join("export.json").to_str().unwrap()]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let started = run(dir.path(), &["run", "--no-supervise", "--log-format", "text"]);
    assert_eq!(started.code, Some(78), "{started:?}");
    let why = "model \"rooms\": the stored state of twin \"attic\" does not load: \
               field \"hot_readings\"";
    assert!(started.err.contains(why), "{started:?}");
}
