//! Damage is found and named, with the exit code of a start; nothing is changed.

use std::{fs, path::Path};

use serde_json::Value;

use super::{acknowledged, contents, engine, everything, replayable, send, state, told};
use crate::program::{FILE, Server, directory, run};

fn check(dir: &Path) -> (Option<i32>, Value) {
    let ended = state("check", dir, &["--output", "json"]);
    let report = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
    (ended.code, report)
}

#[test]
fn a_whole_directory_is_ok_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    everything(dir.path(), &replayable());
    let before = contents(dir.path());
    let (code, report) = check(dir.path());
    assert_eq!((code, &report["ok"], &report["twins"]), (Some(0), &true.into(), &20.into()));
    let said = state("check", dir.path(), &[]).out;
    assert!(said.contains(": ok: epoch ") && said.contains("twins: 20, dead letters: 1"), "{said}");
    assert!(contents(dir.path()) == before, "checking changed something");
}

#[test]
fn law_d7_damage_is_named_with_segment_and_epoch_as_a_start_names_it() {
    let dir = directory("[models.kept]\ntype = \"shadow\"\n");
    let state_dir = dir.path().join("state");
    let broker = replayable();
    let engine = engine(&state_dir, &broker);
    for n in 0..10 {
        send(&broker, "kept", "t", &told(n));
        acknowledged(&broker, n + 1);
    }
    super::stop(engine, &state_dir);
    let segment = state_dir.join("segment-0000000001.log");
    let whole = fs::read(&segment).unwrap();
    // The third group: groups begin at multiples of 4,096, behind the header.
    let at = 3 * 4096;
    let mut bytes = whole.clone();
    bytes[at + 60] ^= 4;
    fs::write(&segment, &bytes).unwrap();
    let before = contents(&state_dir);
    let (code, report) = check(&state_dir);
    assert_eq!((code, &report["ok"]), (Some(74), &false.into()), "{report}");
    let problem = &report["problems"][0];
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains("\"segment-0000000001.log\" at 12288"), "{what}");
    let epoch = report["epoch"].as_u64().unwrap();
    assert!(what.ends_with(&format!("the last epoch before it is {epoch}")), "{what}");
    let next = problem["next"].as_str().unwrap();
    assert!(next.contains(&format!("twinflow run --recover-from {epoch}")), "{next}");
    assert!(contents(&state_dir) == before, "checking changed something");
    let started = run(dir.path(), &["run", "--no-supervise", "--log-format", "text"]);
    assert_eq!(started.code, Some(74), "{started:?}");
    assert!(started.err.contains(what), "{started:?}");
    let next = format!("twinflow run --recover-from {epoch}");
    assert!(started.err.contains(&next), "{started:?}");

    // Any other bit that counts is found, too: each frame's head and body has a check.
    for at in [4096 + 8, 2 * 4096 + 3, 5 * 4096 + 56] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&segment, &bytes).unwrap();
        assert_eq!(check(&state_dir).0, Some(74), "a flip at {at} is not found");
    }
    fs::remove_file(&segment).unwrap();
    assert_eq!(check(&state_dir).1["twins"], 0, "nothing tells that there was a segment");
}

#[test]
fn a_damaged_payload_of_a_dead_letter_is_named() {
    let dir = tempfile::tempdir().unwrap();
    everything(dir.path(), &replayable());
    let file = dir.path().join("dead-letters-0001.dat");
    let mut bytes = fs::read(&file).unwrap();
    bytes[3] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (code, report) = check(dir.path());
    assert_eq!(code, Some(74), "{report}");
    let problem = &report["problems"][0];
    assert!(problem["what"].as_str().unwrap().contains("dead-letters-0001.dat\" at 0"), "{report}");
    assert!(problem["next"].as_str().unwrap().contains("twinflow dead-letters drop"), "{report}");
    assert_eq!(report["twins"], 20);
    assert_eq!(state("export", dir.path(), &[]).code, Some(74), "half of it is no export");
}

#[test]
fn a_write_that_was_cut_off_is_no_damage() {
    let dir = directory(FILE);
    let state_dir = dir.path().join("state");
    let server = Server::start_alone(dir.path());
    let body = ["send", "turbines", "t", r#"{"bearing_celsius":1.0}"#, "--server", &server.url()];
    // The program is ready a moment before its connection is.
    let sent = (0..500).any(|_| run(dir.path(), &body).code == Some(0));
    assert!(sent, "it takes no message");
    server.kill();
    drop(server);
    let segment = state_dir.join("segment-0000000001.log");
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.chunks(4096).rposition(|block| block.starts_with(b"TWFR")).unwrap() * 4096;
    bytes[last + 57] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (code, report) = check(&state_dir);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["cut_off"], format!("\"segment-0000000001.log\" at {last}"));
}

#[test]
fn law_d8_d9_with_a_file_it_says_what_a_start_would_say() {
    let dir = directory(FILE);
    let state_dir = dir.path().join("state");
    everything(&state_dir, &replayable());
    let ended = run(dir.path(), &["state", "check"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    for part in ["model \"kept\" (15 twins)", "connection \"plant\"", "twinflow state drop"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    let more = "[models.kept]\ntype = \"shadow\"\n[models.other]\ntype = \"journal\"\n";
    fs::write(dir.path().join("twinflow.toml"), format!("{FILE}{more}")).unwrap();
    let ended = run(dir.path(), &["state", "check"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.out.contains("\": the stored state of twin \"twin "), "{ended:?}");
}
