//! What the file lacks is removed for good, when somebody says so (law D8).

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use twinflow::Engine;

use super::{Keep, Kept, everything, info, replayable};
use crate::program::{directory, run};

/// Knows `kept` as another kind, and no `other`, no `plant`.
const FILE: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[models.kept]\ntype = \"shadow\"\n";

fn started(dir: &Path) -> crate::program::Ended {
    run(dir, &["run", "--no-supervise", "--log-format", "text"])
}

#[test]
fn law_d8_only_drop_removes_and_only_what_the_file_lacks() {
    // `model` and `connection` that the directory has and the file lacks.
    let dir = directory(FILE);
    let state_dir = dir.path().join("state");
    everything(&state_dir, &replayable());
    let before = info(&state_dir);
    let refused = started(dir.path());
    assert_eq!(refused.code, Some(78), "{refused:?}");
    for next in ["--keep-unknown", "twinflow state drop --model or --connection"] {
        assert!(refused.err.contains(next), "{refused:?}");
    }

    let dropping = |more: &[&str]| run(dir.path(), &[&["state", "drop"], more].concat());
    let asked = dropping(&["--model", "other"]);
    assert_eq!(asked.code, Some(64), "{asked:?}");
    assert!(asked.err.contains("twins: 5") && asked.err.contains("add --yes"), "{asked:?}");
    let configured = dropping(&["--model", "kept", "--yes"]);
    assert_eq!(configured.code, Some(78), "{configured:?}");
    assert!(configured.err.contains("is in twinflow.toml"), "{configured:?}");
    for (arguments, known) in [
        (["--model", "nobody", "--yes"], "known: \"kept\", \"other\""),
        (["--connection", "nobody", "--yes"], "known: \"plant\""),
    ] {
        let unknown = dropping(&arguments);
        assert_eq!(unknown.code, Some(64), "{unknown:?}");
        assert!(unknown.err.contains(known), "{unknown:?}");
    }
    assert_eq!(dropping(&["--yes"]).code, Some(64));
    let after = info(&state_dir);
    for key in ["twins", "models", "connections", "dead_letters"] {
        assert_eq!(before[key], after[key], "nothing was dropped yet: {key}");
    }

    let dropped = dropping(&["--model", "other", "--yes", "--output", "json"]);
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    let dropped: Value = serde_json::from_str(&dropped.out).unwrap();
    assert_eq!((&dropped["model"], &dropped["twins"]), (&"other".into(), &5.into()), "{dropped}");
    let dropped = dropping(&["--connection", "plant", "--yes"]);
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert!(dropped.out.contains("feedback: 4, positions: 2"), "{dropped:?}");
    let after = info(&state_dir);
    assert_eq!((&after["twins"], &after["models"][1]["twins"]), (&15.into(), &0.into()));
    assert_eq!(after["connections"][0]["positions"], Value::Array(vec![]));
    let audit = fs::read_to_string(state_dir.join("audit.log")).unwrap();
    assert_eq!(audit.lines().filter(|line| line.contains("\"state drop\"")).count(), 2, "{audit}");

    let engine = Engine::builder().workers(1).state_dir(&state_dir).model("kept", Keep);
    let engine = engine.start().unwrap();
    assert!(engine.twin::<Kept>("kept", "twin 3").unwrap().is_some());
    super::stop(engine, &state_dir);
}

#[test]
fn law_d8_a_kill_leaves_all_or_nothing_dropped() {
    let dir = directory(FILE);
    let (state_dir, kept) = (dir.path().join("state"), dir.path().join("kept"));
    everything(&kept, &replayable());
    let (mut all, mut none) = (0, 0);
    for kill in 0.. {
        if state_dir.exists() {
            fs::remove_dir_all(&state_dir).unwrap();
        }
        fs::create_dir(&state_dir).unwrap();
        for (name, bytes) in super::contents(&kept) {
            fs::write(state_dir.join(name), bytes).unwrap();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_twinflow"));
        child.current_dir(dir.path()).args(["state", "drop", "--model", "other", "--yes"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 * kill));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let checked = super::state("check", &state_dir, &[]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
        match info(&state_dir)["twins"].as_u64() {
            Some(20) => none += 1,
            Some(15) => all += 1,
            other => panic!("{other:?} twins"),
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(all >= 1 && none >= 1, "all {all}, none {none}");
}
