//! W4 as a person runs it: the real program kills its engine and counts what came of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

fn bench(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinflow-bench"))
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

fn summary(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Outputs of both lives are those of one that nobody disturbed, at one worker and at two.
#[test]
fn a_killed_engine_loses_nothing() {
    for workers in [1, 2] {
        let output = bench(&format!(
            "w4 --kill --workers {workers} --twins 500 --rate 4000 --kill-after-ms 700 --runs 1 \
             --messages 20000 --passes 2 --durable every-epoch --json"
        ));
        assert!(output.status.success(), "{output:?}");
        let summary = summary(&output);
        assert_eq!(summary["check"], "ok", "{summary}");
        assert_eq!(summary["lost"], 0, "{summary}");
        let ms = |key: &str| summary[key].as_f64().unwrap();
        assert!(ms("first_output_ms") > 1.0 && ms("first_output_ms") < 30_000.0, "{summary}");
        assert!(ms("caught_up_ms") > 1.0, "{summary}");
        assert!(ms("kept") > 0.0, "{summary}");
    }
}

/// An engine that forgets what it acknowledged is found out.
#[test]
fn an_engine_without_a_store_is_found_out() {
    let output = bench(
        "w4 --kill --twins 500 --rate 4000 --kill-after-ms 700 --runs 1 --messages 2000 --passes 1 \
         --durable off --json",
    );
    assert!(!output.status.success(), "{output:?}");
    let summary = summary(&output);
    assert_eq!(summary["check"], "wrong", "{summary}");
    assert!(summary["lost"].as_u64().unwrap() > 100, "{summary}");
    assert!(summary["duplicates"].as_u64().unwrap() > 10, "{summary}");
}

#[test]
fn what_w4_cannot_run_is_said() {
    let output = bench("w4 --system limit");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("w4 compares the engine with itself"), "{text}");
}
