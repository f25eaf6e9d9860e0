//! `cargo xtask faults kafka|mqtt|kill|parsers|rest|soak|simulation`: faults at full size.

use crate::cargo::{self, Variable};
use crate::error::{Error, Result};

/// The system's OpenSSL and zstd: a vendored copy takes minutes to build and changes nothing here.
const SYSTEM_LIBRARIES: &[Variable<'static>] =
    &[("OPENSSL_NO_VENDOR", "1"), ("ZSTD_SYS_USE_PKG_CONFIG", "1")];

/// Runs the full-size tests of one kind, whose small sizes `cargo xtask test` runs.
///
/// # Errors
///
/// When the kind is unknown, and when a promise was broken.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    if arguments == ["simulation"] {
        return simulation();
    }
    match arguments {
        ["parsers"] => return one_program("fuzz", "full,testing", "full_f18"),
        ["rest"] => return one_program("faults", "full", "full_f17"),
        ["soak"] => return one_program("faults", "full", "full_f23"),
        _ => {}
    }
    let (kind, runs) = asked(arguments)?;
    let features = if kind == "kill" { "full,fail-points" } else { "full" };
    let build = ["test", "--release", "-p", "twinflow", "--features", features];
    let filter = format!("{kind}::full");
    let only = ["--test", "brokers", "--", "--ignored", "--nocapture", "--test-threads", "1"];
    let mut variables = SYSTEM_LIBRARIES.to_vec();
    variables.extend(runs.map(|runs| ("TWINFLOW_KILL_RUNS", runs)));
    cargo::run(&[&build[..], &only, &[&filter]].concat(), &variables)
}

/// The kind, and how many kills.
fn asked<'a>(arguments: &[&'a str]) -> Result<(&'a str, Option<&'a str>)> {
    match arguments {
        [kind @ ("kafka" | "mqtt" | "kill")] => Ok((kind, None)),
        ["kill", "--runs", runs] if runs.parse().is_ok_and(|runs: u64| runs > 0) => {
            Ok(("kill", Some(runs)))
        }
        _ => Err(Error::usage(
            "write `cargo xtask faults kafka`, `mqtt`, `parsers`, `rest`, `soak`, `simulation` or \
             `kill [--runs N]`",
        )),
    }
}

/// Half a million inputs of each parser; callers that go at any byte; or 600,000 epochs with a kill
/// after each 100,000.
fn one_program(test: &str, features: &str, filter: &str) -> Result<()> {
    let build = ["test", "--release", "-p", "twinflow", "--features", features, "--test", test];
    let only = ["--", "--ignored", "--nocapture", "--test-threads", "1", filter];
    cargo::run(&[&build[..], &only].concat(), SYSTEM_LIBRARIES)
}

/// The log and the engine over a simulated disk: 60,000 crashes in every step, 20,000 power cuts.
/// Nothing in them takes real time, so as many run at once as there are cores.
fn simulation() -> Result<()> {
    let build = ["test", "--release", "-p", "twinflow", "--features", "testing"];
    let only = ["--", "--ignored", "--nocapture", "full_"];
    for tests in [&["--lib"][..], &["--test", "simulation"]] {
        cargo::run(&[&build[..], tests, &only].concat(), SYSTEM_LIBRARIES)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_is_a_wrong_call() {
        let wrong: &[&[&str]] =
            &[&[], &["disk"], &["kafka", "mqtt"], &["kafka", "--runs", "5"], &["kill", "--runs"]];
        assert!(wrong.iter().all(|arguments| asked(arguments).is_err()));
        assert!(asked(&["kill", "--runs", "0"]).is_err());
    }

    #[test]
    fn kills_may_be_counted() {
        assert_eq!(asked(&["kill", "--runs", "100"]), Ok(("kill", Some("100"))));
        assert_eq!(asked(&["kill"]), Ok(("kill", None)));
    }
}
