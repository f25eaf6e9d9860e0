//! `twinflow state`: a directory without an engine.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, too")]

mod check;
mod copy;
mod drop;
mod import;
mod look;
mod reset;
mod versions;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use twinflow::{
    Connection, ConnectionSettings, Engine,
    connectors::memory::{Memory, MemoryBroker},
    prelude::*,
};

use crate::program::{Ended, run};

const PATIENCE: Duration = Duration::from_secs(30);

/// A twin that shows all that was kept, in words that JSON has and in some that it has not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    numbers: Vec<u64>,
    total: f64,
    coarse: Option<f32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    n: u64,
    #[serde(default)]
    coarse: bool,
    #[serde(default)]
    reply: bool,
    #[serde(default)]
    fail: bool,
}

impl TwinModel for Kept {
    type Message<'m> = Told;
}

struct Keep;

impl MessageProcessor for Keep {
    type Model = Kept;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Kept,
        messages: Messages<'_, Told>,
    ) -> ProcessingResult {
        for told in messages {
            twin.numbers.push(told.n);
            twin.total += 0.5;
            if told.coarse {
                twin.coarse = Some(0.1);
            }
            if told.reply {
                cx.send_to_data_source(&told.n)?;
            }
            if told.fail {
                return Err(ProcessingError::message(format!("{} is bad", told.n)));
            }
        }
        Ok(Outcome::Update)
    }
}

/// An engine in this process with the models `kept` and `other` and the connection `plant`.
fn engine(dir: &Path, broker: &MemoryBroker) -> Engine {
    let builder = Engine::builder().workers(2).state_dir(dir).model("kept", Keep);
    // Nobody confirms feedback here, so a stop need not wait for it.
    let settings = ConnectionSettings { drain_timeout_ms: 200, ..ConnectionSettings::default() };
    let plant = Connection::new("plant", Memory::from(broker), settings);
    builder.model("other", Keep).connections([plant]).start().unwrap()
}

/// A broker that is read by positions.
fn replayable() -> MemoryBroker {
    Memory::replayable(2).broker()
}

fn send(broker: &MemoryBroker, model: &str, twin: &str, told: &Told) {
    broker.send(model, twin, serde_json::to_vec(told).unwrap());
}

fn told(n: u64) -> Told {
    Told { n, coarse: false, reply: false, fail: false }
}

fn acknowledged(broker: &MemoryBroker, count: u64) {
    assert!(broker.wait(PATIENCE, |broker| broker.acknowledged() >= count), "not acknowledged");
}

/// A directory with one of everything: 20 twins of two models, positions, feedback that waits, a
/// dead letter.
fn everything(dir: &Path, broker: &MemoryBroker) {
    broker.confirm_feedback(false);
    for n in 0..60 {
        let more = Told { coarse: n == 7, reply: n < 4, fail: n == 30, n };
        let model = if n % 20 < 15 { "kept" } else { "other" };
        send(broker, model, &format!("twin {}", n % 20), &more);
    }
    let engine = engine(dir, broker);
    acknowledged(broker, 60);
    stop(engine, dir);
}

/// Stops an engine of this process. A process that another test starts at this moment has its lock,
/// too, until it is the program that it will be.
fn stop(engine: Engine, dir: &Path) {
    drop(engine.stop().unwrap());
    let is_free = (0..PATIENCE.as_millis() / 5).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        !state("info", dir, &[]).err.contains("is in use")
    });
    assert!(is_free, "the lock is not given back");
}

/// `twinflow state VERB --state-dir DIR MORE..`.
fn state(verb: &str, dir: &Path, more: &[&str]) -> Ended {
    let dir = dir.to_str().unwrap();
    run(Path::new("."), &[&["state", verb, "--state-dir", dir], more].concat())
}

fn info(dir: &Path) -> Value {
    let ended = state("info", dir, &["--output", "json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// Names and bytes of everything in a directory.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    files.collect()
}
