//! The opt-in codec `abomonation`: a build with it does not happen by accident.

use crate::cargo;
use crate::error::{Error, Result};
use crate::step::Step;

const VARIABLE: &str = "TWINFLOW_ABOMONATION";
const SAID: &[cargo::Variable<'static>] = &[(VARIABLE, "same-machine")];
const CHECK: [&str; 5] = ["check", "-p", "twinflow-operators", "--features", "abomonation"];

/// The walls, and what is behind them; no other step is built with the feature.
pub(crate) const STEPS: &[Step] = &[
    Step::function("abomonation: refused", refused),
    Step::cargo_with(
        "abomonation: clippy",
        &[
            "clippy",
            "-p",
            "twinflow-operators",
            "--all-targets",
            "--features",
            "abomonation",
            "--",
            "-D",
            "warnings",
        ],
        SAID,
    ),
    Step::cargo_with(
        "abomonation: tests",
        &["test", "-p", "twinflow-operators", "--features", "abomonation", "abom"],
        SAID,
    ),
];

/// The feature alone is refused, and with what releases have it always is.
fn refused() -> Result<()> {
    let alone = cargo::refusal(&CHECK, VARIABLE)?;
    if !alone.is_some_and(|text| text.contains("RUSTSEC-2021-0120")) {
        return Err(Error::failed(format!("a build with abomonation passed without {VARIABLE}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read from the source, since a build of `full` takes minutes to be refused.
    #[test]
    fn a_build_of_what_is_released_with_it_is_always_refused() {
        let root = std::fs::read_to_string(cargo::root().join("src/lib.rs")).unwrap();
        let both = r#"#[cfg(all(feature = "abomonation", feature = "full"))]"#;
        assert!(root.contains(&format!("{both}\ncompile_error!(")));
    }
}
