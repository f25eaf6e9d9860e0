//! Which steps there are, and which verb runs which of them.
//!
//! To add a step, add a line to the list it belongs to. Lists are ordered from what fails in a
//! second to what takes minutes, and the steps of one list share features and profile, so that one
//! step builds on what the step before it has left in the target directory.

use crate::step::{Action, Step};
use crate::{cargo, deny, tidy};

/// The features that tests, lints and pages are made with: everything that releases have, the
/// demonstration's broker, fail points, and the benches beside bare clients.
const FULL: &str = "twinflow/full,twinflow/demo-broker,twinflow/fail-points,\
                    twinflow-bench/kafka,twinflow-bench/mqtt";

/// What reads the sources and compiles nothing.
const READING: &[Step] = &[
    Step::cargo("format", &["fmt", "--all", "--check"]),
    Step::function("tidy", tidy::run),
    Step::function("deny", deny::run),
];

const LINTS: &[Step] = &[Step::cargo(
    "clippy",
    &["clippy", "--workspace", "--all-targets", "--features", FULL, "--", "-D", "warnings"],
)];

/// Each feature alone: a feature only adds, so nothing may need one it does not name.
const FEATURES: &[Step] = &[
    Step::cargo("features: operators, none", &["check", "-p", "twinflow-operators"]),
    Step::cargo(
        "features: operators, live-views",
        &["check", "-p", "twinflow-operators", "--features", "live-views"],
    ),
    Step::cargo("features: connectors, none", &["check", "-p", "twinflow-connectors"]),
    Step::cargo(
        "features: connectors, rest",
        &["check", "-p", "twinflow-connectors", "--features", "rest"],
    ),
    Step::cargo(
        "features: connectors, kafka",
        &["check", "-p", "twinflow-connectors", "--features", "kafka"],
    ),
    Step::cargo(
        "features: connectors, mqtt",
        &["check", "-p", "twinflow-connectors", "--features", "mqtt"],
    ),
    Step::cargo("features: twinflow, none", &["check", "-p", "twinflow", "--no-default-features"]),
    Step::cargo(
        "features: twinflow, rest",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "rest"],
    ),
    Step::cargo(
        "features: twinflow, kafka",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "kafka"],
    ),
    Step::cargo(
        "features: twinflow, mqtt",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "mqtt"],
    ),
    Step::cargo(
        "features: twinflow, local-log",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "local-log"],
    ),
    Step::cargo(
        "features: twinflow, server",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "server"],
    ),
    Step::cargo(
        "features: twinflow, live-views",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "live-views"],
    ),
    Step::cargo(
        "features: twinflow, demo-broker",
        &["check", "-p", "twinflow", "--no-default-features", "--features", "demo-broker"],
    ),
];

/// Rungs 1 and 2 of the test ladder.
const UNIT_TESTS: &[Step] = &[Step::cargo("unit tests", &["test", "--workspace", "--lib"])];

/// Rung 3 of the test ladder.
const API_TESTS: &[Step] = &[Step::cargo("API tests", &["test", "--workspace", "--test", "it"])];

const ALL_TESTS: &[Step] = &[Step::cargo("tests", &["test", "--workspace", "--features", FULL])];

/// What most people see first, as they build it. The step before has the demonstration's broker.
const DEFAULT_TESTS: &[Step] =
    &[Step::cargo("demo without a broker", &["test", "-p", "twinflow", "--test", "demo"])];

/// Tests that say something only when they are optimised. Name each one, since everything listed
/// here is built a second time:
/// `Step::cargo("release: faults", &["test", "--release", "-p", "twinflow", "--test", "faults"])`.
const RELEASE_TESTS: &[Step] = &[];

/// The pages of this workspace; a broken link is an error.
pub(crate) const DOCS: &[Step] = &[Step {
    name: "docs",
    action: Action::Cargo(
        &["doc", "--workspace", "--no-deps", "--features", FULL],
        &[("RUSTDOCFLAGS", "-D warnings")],
    ),
}];

/// Everything that CI runs.
pub(crate) const TEST: &[&[Step]] =
    &[READING, LINTS, FEATURES, ALL_TESTS, DEFAULT_TESTS, RELEASE_TESTS, DOCS];

/// Everything that CI runs except tests and features.
pub(crate) const CHECK: &[&[Step]] = &[READING, LINTS, DOCS];

/// Rungs 1 to 3: no servers, no other processes.
pub(crate) fn quick() -> Vec<&'static [Step]> {
    let tests = cargo::root().join("tests");
    if tests.join("it").is_dir() || tests.join("it.rs").is_file() {
        return vec![UNIT_TESTS, API_TESTS];
    }
    vec![UNIT_TESTS]
}
