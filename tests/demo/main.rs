//! `twinflow demo`, as somebody types it: the real program, its child, and what it prints.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, too")]

#[cfg(feature = "demo-broker")]
mod broker;

use std::{collections::BTreeMap, process::Command};

/// Runs the program and reads the one object that it prints.
fn demo(arguments: &[&str]) -> BTreeMap<String, f64> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    let output = command.args(["demo", "--output", "json"]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {text} {errors}", output.status);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_message_is_acknowledged_once_and_applied_once() {
    let object = demo(&["--seconds", "3", "--listen", "127.0.0.1:0"]);
    let keys = [
        "acknowledged",
        "applied",
        "commands",
        "dead_letters",
        "kills",
        "lost",
        "messages",
        "p50_us",
        "p99_us",
        "seconds",
        "twins",
    ];
    assert!(object.keys().eq(keys), "{object:?}");
    assert_eq!(object["messages"], object["acknowledged"], "{object:?}");
    let handled = object["applied"] + object["dead_letters"];
    assert_eq!(object["acknowledged"], handled, "{object:?}");
    assert_eq!((object["twins"], object["lost"], object["kills"]), (1000.0, 0.0, 0.0));
    assert!(object["dead_letters"] > 0.0 && object["messages"] > 1000.0, "{object:?}");
    assert!(object["seconds"] >= 3.0 && object["p50_us"] <= object["p99_us"], "{object:?}");
}

#[test]
fn as_fast_as_it_goes_with_few_devices() {
    let object = demo(&["--seconds", "2", "--devices", "10", "--rate", "0"]);
    let handled = object["applied"] + object["dead_letters"];
    assert_eq!((object["messages"], object["acknowledged"]), (handled, handled), "{object:?}");
    assert_eq!((object["twins"], object["lost"]), (10.0, 0.0));
    assert!(object["commands"] > 0.0, "{object:?}");
}

#[test]
fn law_d1_nothing_acknowledged_is_lost_when_the_engine_is_killed() {
    let object = demo(&["--seconds", "12", "--kill", "--rate", "1000"]);
    assert_eq!(object["lost"], 0.0, "{object:?}");
    assert!(object["kills"] >= 2.0 && object["commands"] > 0.0, "{object:?}");
    assert!(object["acknowledged"] <= object["applied"] + object["dead_letters"], "{object:?}");
    assert_eq!(object["messages"], object["acknowledged"], "the drain leaves nothing open");
}

#[test]
fn a_taken_address_is_said_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    let output = command.args(["demo", "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}
