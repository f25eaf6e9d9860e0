//! What is in a directory.

use serde_json::json;

use super::{everything, info, replayable, state};
use crate::program::{FILE, Server, directory, run};

#[test]
fn the_numbers_are_those_that_the_outside_knows() {
    let dir = tempfile::tempdir().unwrap();
    let broker = replayable();
    everything(dir.path(), &broker);
    let before = super::contents(dir.path());
    let info = info(dir.path());
    assert_eq!(info["twins"], 20, "{info}");
    let twins = info["models"].as_array().unwrap().iter().map(|it| (&it["name"], &it["twins"]));
    let expected = [(&json!("kept"), &json!(15)), (&json!("other"), &json!(5))];
    assert_eq!(twins.collect::<Vec<_>>(), expected);
    assert_eq!((&info["dead_letters"], &info["sealed"]), (&json!(1), &json!(true)));
    let plant = &info["connections"][0];
    assert_eq!((&plant["name"], &plant["feedback"]), (&json!("plant"), &json!(4)));
    let positions = plant["positions"].as_array().unwrap();
    let read: u64 = positions.iter().map(|position| position["next"].as_u64().unwrap()).sum();
    assert_eq!(read, 60, "{positions:?}");
    let bytes: u64 = before.values().map(|bytes| bytes.len() as u64).sum();
    assert_eq!(info["disk_bytes"], bytes);
    let table = state("info", dir.path(), &[]);
    assert!(table.out.contains("\nkept   15 "), "{table:?}");
    assert!(super::contents(dir.path()) == before, "looking changed something");
}

#[test]
fn a_running_engine_keeps_everybody_else_out() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    for verb in [
        &["state", "info"][..],
        &["state", "check"],
        &["state", "export"],
        &["state", "import", "-"],
        &["state", "drop", "--model", "gone", "--yes"],
    ] {
        let ended = run(dir.path(), verb);
        assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""), "{verb:?}: {ended:?}");
        let why = if verb[1] == "import" { "first line" } else { "is in use by another twinflow" };
        assert!(ended.err.contains(why), "{verb:?}: {ended:?}");
    }
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(run(dir.path(), &["state", "info"]).code, Some(0));
}

#[test]
fn what_is_no_state_directory_is_78_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    for verb in ["info", "check", "export"] {
        let ended = state(verb, &none, &[]);
        assert_eq!(ended.code, Some(78), "{verb}: {ended:?}");
        assert!(ended.err.contains("there is no state directory"), "{ended:?}");
        let ended = state(verb, dir.path(), &[]);
        assert_eq!(ended.code, Some(78), "{verb}: {ended:?}");
        assert!(ended.err.contains("is no state directory"), "{ended:?}");
    }
    assert!(!none.exists() && super::contents(dir.path()).is_empty());
}
