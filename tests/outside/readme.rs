//! The README's program, built in a package outside of the workspace and used as it says.

use std::fs;

use crate::package::{Running, cargo, checkout, post, succeed, target};

/// The first Rust program of the README.
fn program() -> String {
    let readme = fs::read_to_string(checkout().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```rust,no_run\n").expect("the README has a program");
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_readme_program_builds_outside_of_the_workspace_and_brakes_a_hot_turbine() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path();
    fs::create_dir(package.join("src")).unwrap();
    fs::write(package.join("src/main.rs"), program()).unwrap();
    let path = checkout().display();
    let manifest = format!(
        "[package]\nname = \"readme-program\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
         twinflow = {{ path = \"{path}\", default-features = false, \
         features = [\"rest\", \"local-log\"] }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    succeed(cargo(package, &["build"]));

    let running = Running::start(&target().join("debug/readme-program"), package);
    let path = "/v1/twins/wind-turbine/t-17/messages";
    let hot = |_| post("127.0.0.1:7701", path, r#"{"bearing_celsius": 96.0}"#);
    let answers: Vec<_> = (0..4).map(hot).collect();
    for answer in &answers[..3] {
        assert!(answer.contains(r#"{"applied":1,"replies":[],"failed":[],"epoch":"#), "{answer}");
    }
    assert!(answers[3].contains(r#""replies":["brake"]"#), "{}", answers[3]);
    assert!(running.stop().success());
    assert!(package.join("state").is_dir(), "the twins are on disk");
}
