//! The child is killed: nobody is refused, and nothing that was answered is lost.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    client::{Client, TWINS},
    program::{FILE, Program, ask, directory, until},
};

const KILLS: u64 = 20;
const CLIENTS: usize = 6;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    vec![
        ("decision_8_who_connects_during_a_restart_is_not_refused", nobody_is_refused),
        ("f9_children_that_are_killed_while_they_claim", killed_while_claiming),
        ("law_d1_answered_is_durable_over_twenty_kills_of_the_child", twenty_kills),
    ]
}

/// Both listeners: the API's and a connection's own.
fn nobody_is_refused() {
    let own = r#"
[connections.own]
type = "rest"
listen = "127.0.0.1:0"
"#;
    let dir = directory(&format!("{FILE}{own}"));
    let program = Program::start(dir.path());
    let said = program.said();
    let (_, own) = said.split_once("(type \"rest\" on http://").unwrap();
    let own: SocketAddr = own.split_once(')').unwrap().0.parse().unwrap();
    for nth in 0..4 {
        let killed = program.kill_child();
        // From the second kill on there is nobody for 200 ms.
        for address in [own, program.address] {
            let (status, answer) = ask(address, "GET", "/readyz", "").unwrap_or_else(|error| {
                panic!("{address} after kill {nth}: {error}; {}", program.said())
            });
            // The own listener has no such path, and names the address of the API.
            let expected: &[u16] = if address == own { &[404] } else { &[200, 503] };
            assert!(expected.contains(&status), "{status} {answer}");
        }
        until(20, "the next child", || program.child().filter(|child| *child != killed));
        let body = nth.to_string();
        until(20, "it serves", || (program.post("a", &body).ok()?.0 == 200).then_some(()));
        let path = "/v1/twins/journal/b/messages";
        until(20, "its own listener serves", || {
            (ask(own, "POST", path, &body).ok()?.0 == 200).then_some(())
        });
    }
    assert_eq!(program.numbers("b"), Some((0..4).collect()));
    // Paused, it takes nothing and refuses nobody.
    let change = |what: &str| {
        let path = format!("/v1/connections/own/{what}");
        assert_eq!(ask(program.address, "POST", &path, "").unwrap().0, 200);
    };
    change("pause");
    let paused = || Some(program.get("/v1/connections/own")?["state"] == "paused");
    until(20, "it is paused", || paused().filter(|paused| *paused));
    let post = move || ask(own, "POST", "/v1/twins/journal/b/messages", "4");
    let waits = std::thread::spawn(post);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waits.is_finished());
    change("resume");
    // The session may not be open yet when the request comes.
    let (status, answer) = waits.join().unwrap().unwrap();
    assert!([200, 503].contains(&status), "{status} {answer}");
}

fn killed_while_claiming() {
    let dir = directory(FILE);
    let program = Program::start(dir.path());
    assert_eq!(program.post("a", "1").unwrap().0, 200);
    let mut killed = program.kill_child();
    for millis in [0, 5, 10, 20] {
        let next = until(20, "the next child", || program.child().filter(|it| *it != killed));
        std::thread::sleep(Duration::from_millis(millis));
        killed = next;
        crate::program::signal("KILL", next);
    }
    until(20, "a child that lives", || program.child().filter(|it| *it != killed));
    assert_eq!(program.post("a", "2").unwrap().0, 200);
    assert_eq!(program.numbers("a"), Some(vec![1, 2]));
    assert!(!program.heard("careful=true"), "{}", program.said());
}

fn check(program: &Program, clients: &[Client]) {
    for client in clients {
        for twin in 0..TWINS {
            // Before the state is read: what was answered by then has to be in it.
            let answered = client.answered.load(Ordering::SeqCst);
            let id = client.twin(twin);
            let numbers = until(30, "the twin is read", || program.numbers(&id));
            client.assert_applied(twin, &numbers, answered);
        }
    }
}

fn twenty_kills() {
    let dir = directory(FILE);
    let program = Program::start(dir.path());
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| Client::start(number, program.address, &stop)).collect();
    let answered = || clients.iter().map(|it| it.answered.load(Ordering::SeqCst)).sum::<u64>();
    for kill in 0..KILLS {
        let before = answered();
        until(60, "something is answered", || (answered() > before + 10).then_some(()));
        std::thread::sleep(Duration::from_millis(kill * 79 % 300));
        program.kill_child();
        check(&program, &clients);
    }
    stop.store(true, Ordering::Relaxed);
    let repeated = clients.iter().map(|it| it.repeated.load(Ordering::SeqCst)).sum::<u64>();
    assert!(answered() > KILLS * 10 && repeated > KILLS, "{} and {repeated}", answered());
    check(&program, &clients);
    assert!(!program.heard("careful=true"), "kills from outside do not count");
    clients.into_iter().for_each(Client::end);
}
