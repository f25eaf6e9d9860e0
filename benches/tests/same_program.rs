//! The benchmark measures the program that users have: no feature of tests, no switch of its own,
//! and nothing in the engine that knows of the benchmark.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// What the engine may be built with here. Neither is a feature of tests.
const ENGINE_FEATURES: [&str; 4] = ["rest", "local-log", "kafka", "mqtt"];
/// Conditions under which a part of the harness may be left out: its own tests, and a system that
/// stands beside the engine.
const CONDITIONS: [&str; 6] = [
    "test",
    "feature = \"rocksdb\"",
    "feature = \"kafka\"",
    "feature = \"mqtt\"",
    "any(feature = \"kafka\", feature = \"mqtt\")",
    "not(all(feature = \"kafka\", feature = \"mqtt\"))",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All sources below a folder of the repository, with their paths.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// The names in a list of a table.
fn names<'t>(of: &'t Table, key: &str) -> Vec<&'t str> {
    let list = of.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What is wrong with the manifest of the benchmark.
fn in_manifest(text: &str, profiles: &Table) -> Vec<String> {
    let manifest: Table = text.parse().unwrap();
    let mut wrong = Vec::new();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for (name, value) in dependencies {
        if name.starts_with("twinflow-") {
            wrong.push(format!("{name} is used beside the public crate"));
        }
        if name == "twinflow" {
            for feature in names(value.as_table().unwrap(), "features") {
                if !ENGINE_FEATURES.contains(&feature) {
                    wrong.push(format!("the engine is built with {feature}"));
                }
            }
        }
    }
    for (feature, _) in manifest["features"].as_table().unwrap() {
        for part in names(manifest["features"].as_table().unwrap(), feature) {
            let of_engine = part.strip_prefix("twinflow/");
            if of_engine.is_some_and(|feature| !ENGINE_FEATURES.contains(&feature)) {
                wrong.push(format!("{feature} builds the engine with {part}"));
            }
        }
    }
    for key in ["build-dependencies", "lib", "profile"] {
        if manifest.contains_key(key) {
            wrong.push(format!("the manifest has {key}"));
        }
    }
    for (name, profile) in profiles {
        let packages = profile.get("package").and_then(Value::as_table);
        for package in packages.into_iter().flatten().map(|(package, _)| package) {
            if package.starts_with("twinflow") {
                wrong.push(format!("profile {name} treats {package} apart"));
            }
        }
    }
    wrong
}

/// What is wrong with a source of the benchmark.
fn in_bench(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, _) in text.match_indices("cfg") {
        let rest = text[at + 3..].trim_start_matches("_attr").trim_start_matches('!');
        let Some(rest) = rest.strip_prefix('(') else { continue };
        let known = |condition: &&str| {
            rest.strip_prefix(*condition).is_some_and(|after| after.starts_with(')'))
        };
        if !CONDITIONS.iter().any(known) {
            wrong.push(format!("a condition of its own: cfg({}", first_line(rest)));
        }
    }
    for name in ["mistakes", "::testing", "::conformance", "fail_points", "option_env!"] {
        if text.contains(name) {
            wrong.push(format!("a name that only tests have: {name}"));
        }
    }
    wrong
}

/// What is wrong with a source of the engine.
fn in_engine(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in text.lines() {
        let lower = line.to_lowercase();
        let hidden = line.contains("doc(hidden)");
        if hidden || lower.contains("twinflow_bench") || lower.contains("twinflow-bench") {
            wrong.push(format!("made for the benchmark alone: {}", line.trim()));
        }
        if lower.contains("cfg") && lower.contains("bench") {
            wrong.push(format!("compiled for the benchmark alone: {}", line.trim()));
        }
    }
    wrong
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn the_benchmark_is_built_as_the_program_is() {
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let wrong = in_manifest(&read("benches/Cargo.toml"), workspace["profile"].as_table().unwrap());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_source_has_a_path_that_only_the_benchmark_takes() {
    let look = |folder: &str, rule: fn(&str) -> Vec<String>| {
        let sources = sources(folder);
        assert!(sources.len() > 10, "{folder} has {} sources", sources.len());
        let with_path = |(path, text): (String, String)| {
            rule(&text).into_iter().map(move |wrong| format!("{path}: {wrong}"))
        };
        sources.into_iter().flat_map(with_path).collect::<Vec<_>>()
    };
    let mut wrong = look("benches/src", in_bench);
    for folder in ["src", "operators/src", "connectors/src"] {
        wrong.extend(look(folder, in_engine));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_feature_of_tests_is_seen() {
    let manifest = |features: &str, more: &str| {
        let text =
            format!("[features]\nkafka = [\"twinflow/kafka\"]\n{more}\n[dependencies]\n{features}");
        in_manifest(&text, &Table::new())
    };
    let right = "twinflow = { features = [\"rest\"] }";
    assert_eq!(manifest(right, "").len(), 0);
    assert_eq!(manifest("twinflow = { features = [\"rest\", \"testing\"] }", "").len(), 1);
    assert_eq!(manifest("twinflow-operators = \"1\"", "").len(), 1);
    assert_eq!(manifest(right, "fast = [\"twinflow/testing\"]").len(), 1);
    let profiles: Table = "[release.package.twinflow-operators]\nopt-level = 3".parse().unwrap();
    assert_eq!(in_manifest(&read("benches/Cargo.toml"), &profiles).len(), 1);
}

#[test]
fn a_switch_is_seen() {
    assert_eq!(in_bench("#[cfg(test)]\n#[cfg(feature = \"rocksdb\")]").len(), 0);
    assert_eq!(in_bench("#[cfg(not(test))]").len(), 1);
    assert_eq!(in_bench("#[cfg(testing)]").len(), 1);
    assert_eq!(in_bench("if cfg!(feature = \"fast\") {}").len(), 1);
    assert_eq!(in_bench("use twinflow::connectors::mistakes::plant;").len(), 1);
    assert_eq!(in_engine("pub fn fast() {}").len(), 0);
    assert_eq!(in_engine("#[doc(hidden)] pub fn fast() {}").len(), 1);
    assert_eq!(in_engine("#[cfg(feature = \"bench\")]").len(), 1);
}
