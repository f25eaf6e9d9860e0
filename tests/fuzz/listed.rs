//! Every file that decodes something belongs to a target (S34).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use twinflow::fuzz::targets;

/// What a line has that makes a value of bytes or text.
const DECODES: [&str; 8] = [
    "serde_json::from_",
    "rmp_serde::from_",
    "toml::from_str",
    "Deserializer::from_",
    "from_le_bytes(",
    "from_str_radix(",
    "rmpv::decode::",
    "toml::de::",
];

/// Files that decode nothing of strangers, and why.
const TRUSTED: [(&str, &str); 14] = [
    ("connectors/src/kafka/plan.rs", "a port of the configuration"),
    ("operators/src/abom/codec.rs", "of our own processes only; its module says how that is kept"),
    ("operators/src/activity.rs", "words of this process's own memory"),
    ("operators/src/frame.rs", "frames of this process, checked by the target rows"),
    ("operators/src/process/testing.rs", "messages of a user's own tests"),
    ("operators/src/recover/shard.rs", "what the target entries has checked"),
    ("src/engine.rs", "a state that this process wrote, for a caller of the library"),
    ("src/server/api/dead_letters.rs", "a payload that is shown: text or base64"),
    ("src/server/client.rs", "the answer of the server that the user named"),
    ("src/server/cli/send.rs", "the user's own argument"),
    ("src/models/journal.rs", "16 digits that it wrote itself"),
    ("src/config/de.rs", "values of the target config"),
    ("src/store/memory.rs", "memory of this process"),
    ("src/models/kind.rs", "values of the target config"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Source files of the three crates, without tests, targets and the demonstration.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "demo", "conformance", "fuzz"].contains(&name) {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "fuzz.rs" {
            found.push(path);
        }
    }
}

/// The lines of a file before its tests that decode something.
fn decoding(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let decodes = |line: &&str| DECODES.iter().any(|call| line.contains(call));
    code.lines().filter(is_code).filter(decodes).collect()
}

#[test]
fn s34_every_file_that_decodes_something_belongs_to_a_target() {
    let covered: BTreeSet<&str> = targets().iter().flat_map(|it| it.files).copied().collect();
    let names: BTreeSet<&str> = targets().iter().map(|it| it.name).collect();
    assert_eq!(names.len(), targets().len(), "each has a name of its own");
    let mut files = Vec::new();
    for folder in ["connectors/src", "operators/src", "src"] {
        sources(&root().join(folder), &mut files);
    }
    let mut seen = 0;
    let mut without = Vec::new();
    for file in &files {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(file).unwrap();
        let lines = decoding(&text);
        let trusted = TRUSTED.iter().any(|(known, _)| *known == path);
        if !lines.is_empty() {
            seen += 1;
            if !covered.contains(path.as_str()) && !trusted {
                without.push(format!("{path}: {}", lines[0].trim()));
            }
        }
    }
    assert!(without.is_empty(), "these have no target in any fuzz.rs: {without:#?}");
    assert!(seen > 20, "{seen} files decode something");
    for file in covered.iter().copied().chain(TRUSTED.iter().map(|(file, _)| *file)) {
        assert!(root().join(file).is_file(), "there is no {file} any more");
    }
    let unseen = "let it: Note = serde_json::from_slice(bytes)?;\n#[cfg(test)]\nmod tests { }";
    assert_eq!(decoding(unseen).len(), 1, "a new one would be seen");
}

#[test]
fn s34_cargo_fuzz_has_the_same_targets() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let binaries = manifest.split("[[bin]]").skip(1);
    let name = |part: &str| part.split('"').nth(1).unwrap_or_default().to_owned();
    let listed: BTreeSet<String> = binaries.map(name).collect();
    let all: BTreeSet<String> = targets().iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(listed, all);
}
