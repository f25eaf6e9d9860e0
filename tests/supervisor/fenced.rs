//! Two programs on one state directory, which no lock keeps apart: the older one ends with 70, and
//! what it answered is what the newer one has (docs/internals/failure.md, *two processes*).

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tempfile::TempDir;

use crate::{
    client::{Client, TWINS},
    program::{FILE, Program, directory, until},
};

/// One program is taken over by the next so often.
const ROUNDS: usize = 5;

/// Of each program; half of them with idempotency keys.
const CLIENTS: usize = 4;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    vec![
        ("law_f1_who_is_taken_over_under_load_ends_with_70_and_answers_nothing_more", under_load),
        ("law_f1_who_is_taken_over_without_any_work_ends_with_70", idle),
        ("law_f1_whose_directory_is_moved_away_ends_with_70_and_a_copy_has_it_all", moved_away),
    ]
}

/// A program with a file and a port of its own, on this state directory.
fn start(file: &TempDir, state: &Path) -> Program {
    let program = Program::begin(file.path(), &["--state-dir", state.to_str().unwrap()]);
    until(60, "it is ready", || program.heard("ready").then_some(()));
    program
}

/// What a file server without locks does: the next one gets a lock of its own.
fn lose_lock(state: &Path, to: &Path) {
    fs::rename(state.join("LOCK"), to.join("LOCK")).unwrap();
}

fn ends_as_fenced(program: &mut Program) {
    assert_eq!(program.ends(60), Some(70), "{}", program.said());
    assert!(program.heard(" is fenced: "), "{}", program.said());
}

/// Clients of one program, until it ends.
struct Load {
    clients: Vec<Client>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Has begun when every client was answered a few times.
    fn begin(program: &Program, round: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let numbers = round * CLIENTS..(round + 1) * CLIENTS;
        let clients: Vec<_> =
            numbers.map(|number| Client::start(number, program.address, &stop)).collect();
        let begun = || clients.iter().all(|it| it.answered.load(Ordering::SeqCst) > 10);
        until(60, "all are answered", || begun().then_some(()));
        Self { clients, stop }
    }

    /// The program has ended, so that no answer comes any more; the next one has what was answered,
    /// and of each client at most one message more, whose answer was on its way.
    fn ended(self, next: &Program) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let answered = client.answered.load(Ordering::SeqCst);
            let mut applied = 0;
            for twin in 0..TWINS {
                let id = client.twin(twin);
                let numbers = until(60, "the next one is asked", || next.numbers(&id));
                applied += client.assert_applied(twin, &numbers, answered);
            }
            assert!(applied <= answered + 1, "{applied} applied, {answered} answered");
            client.end();
        }
    }
}

fn under_load() {
    let states = tempfile::tempdir().unwrap();
    let state = states.path().join("state");
    let file = directory(FILE);
    let mut program = start(&file, &state);
    for round in 0..ROUNDS {
        let load = Load::begin(&program, round);
        lose_lock(&state, states.path());
        let next = start(&file, &state);
        ends_as_fenced(&mut program);
        load.ended(&next);
        assert_eq!(next.post("one", &round.to_string()).unwrap().0, 200);
        program = next;
    }
    assert_eq!(program.numbers("one"), Some((0..ROUNDS as u64).collect()));
}

fn idle() {
    let states = tempfile::tempdir().unwrap();
    let state = states.path().join("state");
    let file = directory(FILE);
    let mut first = start(&file, &state);
    assert_eq!(first.post("a", "1").unwrap().0, 200);
    lose_lock(&state, states.path());
    let second = start(&file, &state);
    ends_as_fenced(&mut first);
    assert_eq!(second.numbers("a"), Some(vec![1]));
}

fn moved_away() {
    let states = tempfile::tempdir().unwrap();
    let [state, old] = ["state", "old"].map(|name| states.path().join(name));
    let file = directory(FILE);
    let mut first = start(&file, &state);
    let load = Load::begin(&first, 0);
    fs::rename(&state, &old).unwrap();
    let copied = Command::new("cp").arg("-a").args([&old, &state]).status().unwrap();
    assert!(copied.success());
    let second = start(&file, &state);
    ends_as_fenced(&mut first);
    load.ended(&second);
}
