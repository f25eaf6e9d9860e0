//! `twinflow run` as people start it: two processes, one of them killed, poisoned or stopped.
//!
//! The program under test is a server with one model of its own, made with the public API; it is
//! this very test program, started with `run`. So `main` is ours, and the tests are listed here.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../faults/client.rs"]
mod client;
mod fenced;
mod killed;
mod poison;
mod program;
mod recovering;
mod stopped;
mod target;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("run") {
        return target::main();
    }
    let tests =
        [fenced::tests(), killed::tests(), poison::tests(), recovering::tests(), stopped::tests()];
    let tests = tests.into_iter().flatten();
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), tests.map(trial).collect()).exit_code()
}
