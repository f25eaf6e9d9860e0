//! A profile where there is nothing to take it with.

use std::process::Command;

#[test]
fn without_perf_it_says_what_it_needs() {
    let output = Command::new(env!("CARGO_BIN_EXE_twinflow-bench"))
        .args(["w1", "--messages", "2000", "--runs", "1", "--system", "twinflow", "--profile"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("--profile needs perf, which Debian has as linux-perf"), "{text}");
}

#[test]
fn what_has_no_profile_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_twinflow-bench"))
        .args(["rest", "--messages", "20", "--runs", "1", "--profile"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--profile is for w1, w2 and w3"), "{text}");
}
