//! `cargo xtask faults kafka|mqtt|simulation`: faults at full size.

use crate::cargo::{self, Variable};
use crate::error::{Error, Result};

/// The system's OpenSSL and zstd: a vendored copy takes minutes to build and changes nothing here.
const SYSTEM_LIBRARIES: &[Variable] =
    &[("OPENSSL_NO_VENDOR", "1"), ("ZSTD_SYS_USE_PKG_CONFIG", "1")];

/// Runs the full-size tests of one kind, whose small sizes `cargo xtask test` runs.
///
/// # Errors
///
/// When the kind is unknown, and when a promise was broken.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let kind = match arguments {
        [kind @ ("kafka" | "mqtt")] => format!("{kind}::full"),
        ["simulation"] => return simulation(),
        _ => return Err(Error::usage("write `cargo xtask faults kafka|mqtt|simulation`")),
    };
    let build = ["test", "--release", "-p", "twinflow", "--features", "full", "--test", "brokers"];
    let only = ["--", "--ignored", "--nocapture", "--test-threads", "1", &kind];
    cargo::run(&[&build[..], &only].concat(), SYSTEM_LIBRARIES)
}

/// The log and the engine over a simulated disk: 60,000 crashes in every step, 20,000 power cuts.
fn simulation() -> Result<()> {
    let build = ["test", "--release", "-p", "twinflow", "--features", "testing"];
    let only = ["--", "--ignored", "--nocapture", "--test-threads", "1", "full_"];
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
        assert!(run(&[]).is_err() && run(&["rest"]).is_err() && run(&["kafka", "mqtt"]).is_err());
    }
}
