//! A start that takes long says how far it is, to everybody who asks.

use std::fs;

use serde_json::Value;

use crate::{
    program::{FILE, Program, ask, directory, until},
    target::SLOW_STATES,
};

/// At 20 ms each they take two workers 4 seconds.
const TWINS: u64 = 400;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    vec![("decision_8_a_start_tells_how_far_it_is", a_start_tells)]
}

fn a_start_tells() {
    let dir = directory(FILE);
    let program = Program::start(dir.path());
    for twin in 0..TWINS {
        let (status, answer) = program.post(&format!("twin-{twin}"), &twin.to_string()).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    fs::write(dir.path().join(SLOW_STATES), "").unwrap();
    let killed = program.kill_child();
    until(20, "the next child", || program.child().filter(|child| *child != killed));

    let ready = || {
        let (status, body) = ask(program.address, "GET", "/readyz", "").ok()?;
        Some((status, serde_json::from_str::<Value>(&body).ok()?))
    };
    let loading = |what: &str| {
        until(20, what, || {
            let (status, body) = ready()?;
            let loads = body["recovery"]["task"] == "loading";
            (loads && body["recovery"][what].as_u64()? > 0).then_some((status, body))
        })
    };
    let (status, first) = loading("done");
    assert_eq!((status, &first["ready"]), (503, &Value::Bool(false)), "{first}");
    assert_eq!(first["recovery"]["total"], TWINS);
    let said = first["reasons"][0].as_str().unwrap();
    assert!(said.starts_with("the engine is starting: loading twins: "), "{said}");
    assert_eq!(ask(program.address, "GET", "/livez", "").unwrap(), (200, "ok\n".into()));
    let (status, answer) = ask(program.address, "GET", "/v1/twins/journal/twin-7", "").unwrap();
    assert!(status == 503 && answer.contains("loading twins"), "{status} {answer}");

    // It is told once a second, with rate and time that is left.
    let (_, later) = loading("per_second");
    assert!(later["recovery"]["seconds_left"].as_u64().unwrap() > 0, "{later}");
    let said = until(5, "it is told", || {
        let said = program.said();
        let mut lines = said.lines().filter(|line| line.contains("recovering: loading twins: "));
        lines.find(|line| line.contains(&format!(" % of {TWINS}, "))).map(str::to_owned)
    });
    assert!(said.contains(" a second, about ") && said.ends_with(" s left"), "{said}");

    until(60, "it is ready", || (ready()?.0 == 200).then_some(()));
    assert_eq!(ready().unwrap().1["recovery"], Value::Null);
    for twin in [0, 7, TWINS - 1] {
        assert_eq!(program.numbers(&format!("twin-{twin}")), Some(vec![twin]));
    }
}
