//! `twinflow new`: its crate passes its own test and answers the line that it prints.

use std::process::Command;

use crate::package::{Running, cargo, post, succeed, target};

#[test]
fn a_new_crate_passes_its_test_and_its_program_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut new = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    new.current_dir(folder.path()).args(["new", "turbine"]);
    succeed(new);
    let package = folder.path().join("turbine");
    succeed(cargo(&package, &["test"]));
    succeed(cargo(&package, &["build"]));

    let running = Running::start(&target().join("debug/turbine"), &package);
    let answer = post("127.0.0.1:7701", "/v1/twins/machines/m-1/messages", r#"{"celsius":81.5}"#);
    assert!(answer.contains(r#""replies":["cool down"]"#), "{answer}");
    assert!(running.stop().success());
}
