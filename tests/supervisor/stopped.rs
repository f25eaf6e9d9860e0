//! Signals, the end of the supervisor, two of them on one directory.

use std::{fs, net::TcpListener};

use crate::program::{FILE, Program, directory, runs, signal, until};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    vec![
        ("law_f3_a_signal_stops_the_child_by_the_parent", a_signal_stops_both),
        ("law_f2_a_second_signal_ends_both_at_once", a_second_signal_ends_both),
        ("law_f3_the_child_ends_with_its_parent", the_child_ends_with_its_parent),
        ("law_f3_a_second_supervisor_on_the_directory_is_refused", a_second_one_is_refused),
        ("no_supervise_is_one_process", one_process),
        ("supervised_is_not_for_people", supervised_is_not_for_people),
    ]
}

fn a_signal_stops_both() {
    for name in ["TERM", "INT"] {
        let dir = directory(FILE);
        let mut program = Program::start(dir.path());
        assert_eq!(program.post("a", "1").unwrap().0, 200);
        let child = program.child().unwrap();
        signal(name, program.pid());
        assert_eq!(program.ends(20), Some(0));
        assert!(!runs(child));
        until(5, "its last words", || program.heard("epochs closed, nothing left").then_some(()));
        let again = Program::start(dir.path());
        assert_eq!(again.numbers("a"), Some(vec![1]), "{name}");
    }
}

fn a_second_signal_ends_both() {
    let dir = directory(FILE);
    let mut program = Program::start(dir.path());
    // A call that lasts holds up the drain.
    let (address, child) = (program.address, program.child().unwrap());
    let path = "/v1/twins/journal/a/messages";
    std::thread::spawn(move || {
        crate::program::ask(address, "POST", path, r#"{"sleep":20000}"#).ok()
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal("TERM", program.pid());
    until(10, "it drains", || program.heard("draining").then_some(()));
    signal("TERM", program.pid());
    assert_eq!(program.ends(5), Some(130), "{}", program.said());
    assert!(!runs(child));
}

fn the_child_ends_with_its_parent() {
    let dir = directory(FILE);
    let mut program = Program::start(dir.path());
    assert_eq!(program.post("a", "1").unwrap().0, 200);
    let child = program.child().unwrap();
    // A stopped child cannot read anything; it has to end all the same.
    signal("STOP", child);
    signal("KILL", program.pid());
    assert_eq!(program.ends(5), None);
    until(5, "the child has ended", || (!runs(child)).then_some(()));
    let again = Program::start(dir.path());
    assert_eq!(again.numbers("a"), Some(vec![1]));
}

fn a_second_one_is_refused() {
    let dir = directory(FILE);
    let first = Program::start(dir.path());
    let mut second = Program::begin(dir.path(), &[]);
    assert_eq!(second.ends(20), Some(78));
    let said = second.said();
    assert!(said.contains("is in use by another twinflow"), "{said}");
    assert!(!said.contains("starting it again"), "{said}");
    // The lock is the child's: it is there for the next child, and not for anybody in between.
    let killed = first.kill_child();
    until(20, "another child", || first.child().filter(|child| *child != killed));
    until(20, "it serves", || (first.post("a", "1").ok()?.0 == 200).then_some(()));
}

fn one_process() {
    let dir = directory(FILE);
    let mut program = Program::begin(dir.path(), &["--no-supervise"]);
    until(20, "it is ready", || program.heard("ready").then_some(()));
    assert_eq!(program.child(), None);
    assert_eq!(program.post("a", "1").unwrap().0, 200);
    signal("TERM", program.pid());
    assert_eq!(program.ends(20), Some(0));
}

fn supervised_is_not_for_people() {
    let dir = directory(FILE);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = FILE.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    fs::write(dir.path().join("twinflow.toml"), file).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.current_dir(dir.path()).arg("run").args(arguments);
        let ended = command.stdin(std::process::Stdio::null()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let (code, said) = run(&["--supervised"]);
    assert_eq!(code, Some(64));
    assert!(said.contains("--supervised is for twinflow itself"), "{said}");
    // The parent finds out that it cannot listen; there is never a child.
    let (code, said) = run(&[]);
    assert_eq!(code, Some(69));
    assert!(said.contains("could not listen on"), "{said}");
    assert!(!dir.path().join("state").exists());
}
