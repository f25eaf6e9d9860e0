//! F19: a message that no guard inside the process survives. Its twin goes into quarantine within
//! four generations, and the rest of the twins goes on.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

use crate::{
    client::{Client, TWINS},
    program::{FILE, Program, ask, directory, until},
};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    vec![
        ("law_p1_f19_a_panic_is_a_dead_letter_and_no_death", a_panic_is_a_dead_letter),
        ("law_f4_f19_abort", || poison("\"abort\"", "signal 6, SIGABRT")),
        ("law_f4_f19_stack_overflow", || poison("\"overflow\"", "signal 6, SIGABRT")),
        ("law_f4_f19_allocation", || poison("\"allocate\"", "signal 6, SIGABRT")),
        ("law_f4_f19_endless_loop", || poison("\"loop\"", "exit code 70")),
        ("law_f4_a_long_call_is_named_and_goes_on", a_long_call_is_named),
        ("law_f4_deaths_without_a_twin_are_given_up", deaths_without_a_twin),
    ]
}

/// Sends one message again and again until it is answered with 200 or 500, as devices do.
fn insist(program: &Program, twin: &str, body: &str) -> JoinHandle<(u16, String)> {
    let (address, body) = (program.address, body.to_owned());
    let path = format!("/v1/twins/journal/{twin}/messages");
    std::thread::spawn(move || {
        loop {
            match ask(address, "POST", &path, &body) {
                Ok((status @ (200 | 500), answer)) => return (status, answer),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    })
}

fn a_panic_is_a_dead_letter() {
    let dir = directory(FILE);
    let program = Program::start(dir.path());
    let (status, answer) = program.post("a", "\"panic\"").unwrap();
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("as it was told"), "{answer}");
    assert_eq!(program.post("a", "1").unwrap().0, 200);
    assert!(!program.heard("starting it again"), "{}", program.said());
}

fn poison(body: &str, how: &str) {
    // A stall takes five seconds here instead of thirty.
    let dir = directory(&FILE.replace("workers = 2", "workers = 2\nstall_secs = 5"));
    let program = Program::start(dir.path());
    assert_eq!(program.post("bad", "7").unwrap().0, 200);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..3).map(|number| Client::start(number, program.address, &stop)).collect();
    let answered = || clients.iter().map(|it| it.answered.load(Ordering::SeqCst)).collect();
    let before: Vec<u64> = answered();

    let (status, answer) = insist(&program, "bad", body).join().unwrap();
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("the twin is in quarantine"), "{answer}");
    assert!(answer.contains(how), "{answer}");
    let deaths = program.said().matches("starting it again").count();
    assert_eq!(deaths, 4, "three, and a careful one: {}", program.said());

    // The others go on; nothing of theirs is lost, and nothing of the culprit's state.
    let now: Vec<u64> = answered();
    until(30, "the rest goes on", || {
        let later: Vec<u64> = answered();
        now.iter().zip(&later).all(|(now, later)| *later > now + 10).then_some(())
    });
    assert!(before.iter().zip(&now).all(|(before, now)| before <= now));
    assert_eq!(program.post("bad", "8").unwrap().0, 500);
    assert_eq!(program.numbers("bad"), Some(vec![7]));
    stop.store(true, Ordering::Relaxed);
    for client in &clients {
        for twin in 0..TWINS {
            let least = Client::of_twin(client.answered.load(Ordering::SeqCst), twin);
            let numbers = until(30, "the twin is read", || program.numbers(&client.twin(twin)));
            assert!(numbers.len() as u64 >= least, "{least} were answered: {numbers:?}");
        }
    }
    clients.into_iter().for_each(Client::end);
    it_is_said_kept_and_released(program, dir.path(), how);
}

fn it_is_said_kept_and_released(program: Program, dir: &std::path::Path, how: &str) {
    let listed = program.get("/v1/quarantine").unwrap();
    assert_eq!(listed["quarantine"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        (&listed["quarantine"][0]["twin"], &listed["quarantine"][0]["connection"]),
        (&Value::from("bad"), &Value::from("web"),)
    );
    let letters = program.get("/v1/dead-letters").unwrap();
    assert_eq!(letters["dead_letters"][0]["kind"], "quarantined", "{letters}");
    let (_, metrics) = ask(program.address, "GET", "/metrics", "").unwrap();
    assert!(metrics.contains("twinflow_quarantined_twins{model=\"journal\"} 1"), "{metrics}");
    assert!(program.heard("the twin is in quarantine"), "{}", program.said());
    drop(program);

    // Over a restart of everything, too.
    let program = Program::start(dir);
    assert_eq!(program.post("bad", "9").unwrap().0, 500);
    let list = verb(&program, dir, &["quarantine", "list"]);
    assert!(list.contains("bad") && list.contains(how), "{list}");
    let released = verb(&program, dir, &["quarantine", "release", "journal", "bad"]);
    assert_eq!(released, "journal bad is released\n");
    assert_eq!(program.post("bad", "10").unwrap().0, 200);
    drop(program);
    let program = Program::start(dir);
    assert_eq!(program.get("/v1/quarantine").unwrap()["quarantine"], Value::Array(Vec::new()));
    assert_eq!(program.numbers("bad"), Some(vec![7, 10]));
    let path = "/v1/quarantine/journal/bad/release";
    assert_eq!(ask(program.address, "POST", path, "").unwrap().0, 404);
}

/// What a verb of the command line prints.
fn verb(program: &Program, dir: &std::path::Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    let server = format!("http://{}", program.address);
    command.current_dir(dir).args(arguments).args(["--server", &server]).stdin(Stdio::null());
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

fn a_long_call_is_named() {
    let dir = directory(FILE);
    let program = Program::start(dir.path());
    assert_eq!(program.post("slow", r#"{"sleep":2500}"#).unwrap().0, 200);
    let line = program
        .said()
        .lines()
        .find(|line| line.contains("longer than a second"))
        .map(str::to_owned);
    let line = line.unwrap_or_else(|| panic!("{}", program.said()));
    assert!(line.contains("journal") && line.contains("slow"), "{line}");
    assert!(!program.heard("starting it again"));
}

/// What kills every child before it has committed anything, and is no twin's doing.
fn deaths_without_a_twin() {
    let dir = directory(FILE);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.current_dir(dir.path()).args(["run", "--log-format", "text"]);
    // Its children end themselves before they do anything; the parent does not.
    let ended = command.env(crate::target::DIES_AT_ONCE, "1").output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(128 + 6), "{said}");
    assert_eq!(said.matches("starting it again").count(), 4, "{said}");
    assert!(said.contains("careful=true"), "{said}");
    assert!(said.contains("nothing is started any more"), "{said}");
}
