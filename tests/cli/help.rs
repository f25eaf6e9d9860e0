//! The command line: verbs, help, wrong use.

use crate::program::{FILE, directory, run};

#[test]
fn help_lists_every_verb_on_standard_output() {
    let dir = directory("");
    let help = run(dir.path(), &["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for verb in [
        "run",
        "validate",
        "config",
        "new",
        "send",
        "twins",
        "connectors",
        "connections",
        "dead-letters",
        "quarantine",
        "keys",
        "state",
        "version",
        "completion",
    ] {
        assert!(help.out.contains(&format!("\n  {verb} ")), "{verb}\n{}", help.out);
        let own = run(dir.path(), &[verb, "--help"]);
        assert_eq!(own.code, Some(0), "{verb}");
    }
}

#[test]
fn wrong_use_is_64_and_says_what_was_meant() {
    let dir = directory(FILE);
    for wrong in [
        &["runn"][..],
        &[],
        &["run", "--no-such-flag"],
        &["twins", "get", "turbines"],
        &["send", "turbines", "t", "{not json"],
        &["connectors", "explain", "carrier-pigeon"],
        &["twins", "list", "turbines", "--server", "ftp://localhost"],
        &["run", "--log", "a=b=c"],
        &["new", "../elsewhere"],
    ] {
        let ended = run(dir.path(), wrong);
        assert_eq!(ended.code, Some(64), "{wrong:?}: {ended:?}");
        assert!(!ended.err.is_empty() && ended.out.is_empty(), "{wrong:?}: {ended:?}");
    }
    let near = run(dir.path(), &["runn"]).err;
    assert!(near.contains("'run'"), "{near}");
}

#[test]
fn the_version_is_data() {
    let dir = directory("");
    let version = run(dir.path(), &["version"]);
    assert_eq!(version.out, concat!("twinflow ", env!("CARGO_PKG_VERSION"), "\n"));
    let json = run(dir.path(), &["version", "--output", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn connectors_are_listed_and_explained() {
    let dir = directory("");
    let list = run(dir.path(), &["connectors", "list"]).out;
    assert!(list.contains("rest") && list.contains("at least once"), "{list}");
    let explained = run(dir.path(), &["connectors", "explain", "rest"]).out;
    for word in ["listen", "wait_ms", "Default 10000", "guarantee"] {
        assert!(explained.contains(word), "{word}\n{explained}");
    }
}

#[test]
fn a_completion_script_names_the_verbs() {
    let dir = directory("");
    let script = run(dir.path(), &["completion", "bash"]);
    assert_eq!(script.code, Some(0));
    assert!(script.out.contains("connections"), "{}", script.out);
}

#[test]
fn the_effective_settings_are_printed_with_defaults() {
    let dir = directory(FILE);
    let config = run(dir.path(), &["config", "--state-dir", "elsewhere"]);
    assert_eq!(config.code, Some(0), "{}", config.err);
    for line in ["dir = \"elsewhere\"", "limit_celsius = 95.0", "on_failure = \"dead_letter\""] {
        assert!(config.out.contains(line), "{line}\n{}", config.out);
    }
}
