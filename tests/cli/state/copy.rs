//! An export comes back as what it was.

use std::{fs, path::Path};

use serde_json::Value;
use twinflow::connectors::memory::MemoryBroker;

use super::{Kept, acknowledged, engine, everything, info, replayable, send, state, told};

/// Exports a directory to a file and imports that into another directory.
fn copied(from: &Path, to: &Path, how: &[&str]) -> String {
    let file = to.with_extension("json");
    let exported = state("export", from, &[how, &[file.to_str().unwrap()]].concat());
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let imported = state("import", to, &[file.to_str().unwrap()]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    fs::read_to_string(file).unwrap()
}

/// The lines between the first and the last; twins, which come in no order, sorted and first.
fn middle(export: &str) -> Vec<&str> {
    let mut lines: Vec<_> = export.lines().skip(1).collect();
    lines.pop();
    let is_twin = |line: &&str| line.starts_with("{\"twin\"");
    let (mut twins, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_twin);
    twins.sort_unstable();
    [twins, others].concat()
}

fn ids(broker: &MemoryBroker) -> Vec<(String, String)> {
    let mut all = Vec::new();
    broker.wait(super::PATIENCE, |broker| {
        all.extend(broker.feedback().into_iter().map(|it| (format!("{:?}", it.id), it.twin)));
        all.len() >= 4
    });
    all.sort_unstable();
    all
}

#[test]
fn everything_is_in_it_and_comes_back_by_either_form() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    let broker = replayable();
    everything(&from, &broker);
    for how in [&[][..], &["--encoded"]] {
        let to = dir.path().join(format!("to{}", how.len()));
        let first = copied(&from, &to, how);
        let again = state("export", &to, how).out;
        assert_eq!(middle(&again), middle(&first));
        let kinds = |kind: &str| middle(&first).iter().filter(|it| it.starts_with(kind)).count();
        let all = ["{\"twin\"", "{\"position\"", "{\"feedback\"", "{\"dead_letter\""].map(kinds);
        assert_eq!(all, [20, 2, 4, 1]);
        let (a, b) = (info(&from), info(&to));
        for key in ["twins", "models", "connections", "dead_letters", "time_us"] {
            assert_eq!(a[key], b[key], "{key}");
        }
        for key in ["generation", "epoch"] {
            assert!(a[key].as_u64() < b[key].as_u64(), "{key}: {a} {b}");
        }
    }
}

#[test]
fn states_are_json_where_that_says_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    everything(dir.path(), &replayable());
    let out = state("export", dir.path(), &["--model", "kept"]).out;
    let lines: Vec<Value> =
        middle(&out).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 15, "twins alone: {out}");
    for line in &lines {
        let twin = &line["twin"];
        assert_eq!((&twin["model"], &twin["connection"]), (&"kept".into(), &"plant".into()));
        let coarse = twin["id"] == "twin 7";
        assert_eq!(twin["state"].is_null(), coarse, "{twin}");
        assert_eq!(twin["stored"].is_string(), coarse, "{twin}");
    }
    assert!(out.contains(r#""state":{"numbers":[0,20,40],"total":1.5,"coarse":null}"#), "{out}");
    let wrong = state("export", dir.path(), &["--model", "nobody"]);
    assert_eq!(wrong.code, Some(64));
    assert!(wrong.err.contains("known: \"kept\", \"other\""), "{wrong:?}");
}

#[test]
fn law_d3_d6_an_engine_goes_on_with_the_copy_where_the_first_one_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let broker = replayable();
    everything(&from, &broker);
    let handed_out = ids(&broker);
    copied(&from, &to, &[]);
    for n in 60..80 {
        let model = if n % 20 < 15 { "kept" } else { "other" };
        send(&broker, model, &format!("twin {}", n % 20), &told(n));
    }
    let engine = engine(&to, &broker);
    acknowledged(&broker, 80);
    for twin in 0..20u64 {
        let model = if twin < 15 { "kept" } else { "other" };
        let state: Kept = engine.twin(model, &format!("twin {twin}")).unwrap().unwrap();
        // Each number once: nothing is read again, nothing is left out but the one that failed.
        let expected = (twin..80).step_by(20).filter(|n| *n != 30);
        assert!(state.numbers.iter().copied().eq(expected), "{twin}: {state:?}");
        assert_eq!(state.coarse, (twin == 7).then_some(0.1));
    }
    assert_eq!(ids(&broker), handed_out, "the same feedback by the same ids");
    super::stop(engine, &to);
    let letters = info(&to)["dead_letters"].clone();
    assert_eq!(letters, 1);
}

#[test]
fn an_export_writes_over_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    everything(&from, &replayable());
    let file = dir.path().join("kept.json");
    fs::write(&file, "mine").unwrap();
    let ended = state("export", &from, &[file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}
