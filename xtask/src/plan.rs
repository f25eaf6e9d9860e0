//! Which steps there are, and which verb runs which of them.
//!
//! To add a step, add a line to the list it belongs to. Lists are ordered from what fails in a
//! second to what takes minutes, and the steps of one list share features and profile, so that one
//! step builds on what the step before it has left in the target directory.

use crate::step::Step;
use crate::{deny, tidy, unsound};

/// The features that tests, lints and pages are made with: everything that releases have, the
/// demonstration's broker, what only tests have, and the benches beside bare clients. A test target
/// whose features are not all here would be left out without a word; a test of this file looks.
const FULL: &str = "twinflow/full,twinflow/demo-broker,twinflow/fail-points,twinflow/testing,\
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

/// Rungs 1 to 3 of the test ladder: no servers, no other processes. Half of what tests take they
/// wait, so four at a time share two cores well.
const QUICK_TESTS: &[Step] = &[Step::cargo(
    "unit and API tests",
    &[
        "test",
        "--workspace",
        "--features",
        "twinflow/testing",
        "--lib",
        "--test",
        "it",
        "--",
        "--test-threads=4",
    ],
)];

const ALL_TESTS: &[Step] = &[Step::cargo("tests", &["test", "--workspace", "--features", FULL])];

/// What most people see first, as they build it. The step before has the demonstration's broker.
const DEFAULT_TESTS: &[Step] =
    &[Step::cargo("demo without a broker", &["test", "-p", "twinflow", "--test", "demo"])];

/// Tests that say something only when they are optimised. Name each one, since everything listed
/// here is built a second time:
/// `Step::cargo("release: faults", &["test", "--release", "-p", "twinflow", "--test", "faults"])`.
const RELEASE_TESTS: &[Step] = &[];

/// The pages of this workspace; a broken link is an error.
pub(crate) const DOCS: &[Step] = &[Step::cargo_with(
    "docs",
    &["doc", "--workspace", "--no-deps", "--features", FULL],
    &[("RUSTDOCFLAGS", "-D warnings")],
)];

/// Everything that CI runs.
pub(crate) const TEST: &[&[Step]] =
    &[READING, LINTS, FEATURES, unsound::STEPS, ALL_TESTS, DEFAULT_TESTS, RELEASE_TESTS, DOCS];

/// Everything that CI runs except tests and features.
pub(crate) const CHECK: &[&[Step]] = &[READING, LINTS, DOCS];

/// What one runs all the time.
pub(crate) const QUICK: &[&[Step]] = &[QUICK_TESTS];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo;
    use toml::{Table, Value};

    /// The features of a package among those of `FULL`, and what they bring.
    fn brought(package: &str, features: &Table) -> Vec<String> {
        let mut known: Vec<String> = FULL
            .split(',')
            .filter_map(|feature| feature.trim().strip_prefix(package)?.strip_prefix('/'))
            .map(str::to_owned)
            .collect();
        known.extend(strings(features.get("default")));
        let mut next = 0;
        while let Some(feature) = known.get(next) {
            let more = strings(features.get(feature));
            known.extend(more);
            next += 1;
        }
        known
    }

    fn strings(list: Option<&Value>) -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// The targets of a manifest that cargo would leave out.
    fn left_out(manifest: &str, package: &str) -> Vec<String> {
        let manifest: Table = manifest.parse().unwrap();
        let features = manifest.get("features").and_then(Value::as_table).cloned();
        let brought = brought(package, &features.unwrap_or_default());
        let targets = ["test", "bin", "example"].into_iter().filter_map(|kind| manifest.get(kind));
        let targets = targets.filter_map(Value::as_array).flatten();
        let lacks = |target: &&Value| {
            !strings(target.get("required-features")).iter().all(|name| brought.contains(name))
        };
        targets.filter(lacks).map(|target| target["name"].to_string()).collect()
    }

    #[test]
    fn no_step_but_its_own_and_nothing_released_has_the_unsound_codec() {
        let manifest: Table =
            std::fs::read_to_string(cargo::root().join("Cargo.toml")).unwrap().parse().unwrap();
        let features = manifest["features"].as_table().unwrap();
        let brings = |name: &str| strings(features.get(name)).iter().any(|of| is_unsound(of));
        let all = brought("twinflow", features);
        assert!(all.iter().any(|name| name == "full"), "{all:?}");
        assert!(!all.iter().any(|name| is_unsound(name) || brings(name)), "{all:?}");
        let with: Vec<_> = features.keys().filter(|name| brings(name)).collect();
        assert_eq!(with, ["abomonation"], "no other feature brings it");
    }

    fn is_unsound(feature: &str) -> bool {
        feature.contains("abomonation")
    }

    #[test]
    fn no_target_is_left_out_for_want_of_a_feature() {
        let of = |path: &str| std::fs::read_to_string(cargo::root().join(path)).unwrap();
        assert_eq!(left_out(&of("Cargo.toml"), "twinflow"), Vec::<String>::new());
        assert_eq!(left_out(&of("benches/Cargo.toml"), "twinflow-bench"), Vec::<String>::new());
        let lost = "[features]\n[[test]]\nname = \"it\"\nrequired-features = [\"other\"]";
        assert_eq!(left_out(lost, "twinflow"), ["\"it\""]);
    }
}
