//! Half of the devices over MQTT, with a broker in the program.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::demo;

#[test]
fn what_the_broker_took_is_in_the_twins_in_the_end() {
    let object = demo(&["--seconds", "5", "--listen", "127.0.0.1:0"]);
    let handled = object["applied"] + object["dead_letters"];
    assert_eq!((object["messages"], object["acknowledged"]), (handled, handled), "{object:?}");
    assert_eq!((object["twins"], object["lost"], object["kills"]), (1000.0, 0.0, 0.0));
    // Each way has a device that spoils its third message.
    assert!(object["dead_letters"] >= 2.0 && object["commands"] > 0.0, "{object:?}");
}

#[test]
fn law_d1_a_killed_engine_finds_what_the_broker_kept_for_it() {
    let object = demo(&["--seconds", "12", "--kill", "--rate", "1000", "--listen", "127.0.0.1:0"]);
    let handled = object["applied"] + object["dead_letters"];
    assert_eq!((object["messages"], object["acknowledged"]), (handled, handled), "{object:?}");
    assert_eq!((object["twins"], object["lost"]), (1000.0, 0.0), "{object:?}");
    assert!(object["kills"] >= 2.0 && object["dead_letters"] >= 2.0, "{object:?}");
    assert!(object["commands"] > 0.0, "{object:?}");
}

/// The engine's own connections, asked while devices send, and what is said of both ways.
#[test]
fn both_ways_bring_messages_and_commands() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    command.args(["demo", "--seconds", "10", "--devices", "40", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let engine = lines.find_map(|line| {
        let line = line.unwrap();
        Some(line.strip_prefix("engine: http://")?.split(',').next()?.to_owned())
    });
    let engine = engine.expect("the greeting names the engine");
    let (web, plant) = (connection(&engine, "web"), connection(&engine, "plant"));
    ends_well(&mut child);
    assert!(web[0] > 0 && web[1] > 0, "messages and commands by HTTP: {web:?}");
    assert!(plant[0] > 0 && plant[1] > 0, "messages and commands over MQTT: {plant:?}");

    let text: Vec<_> = lines.map(Result::unwrap).collect();
    let number = |what: &str| {
        let line = text.iter().find_map(|line| line.trim_start().strip_prefix(what));
        let line = line.unwrap_or_else(|| panic!("nothing of {what:?}: {text:?}"));
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let (by_engine, by_broker) = (number("by the engine"), number("by the broker"));
    assert_eq!(by_engine + by_broker, number("acknowledged"));
    assert!(by_broker * 3 > by_engine && by_engine * 3 > by_broker, "{by_engine} {by_broker}");
    let commands = text.iter().find(|line| line.contains("commands")).unwrap();
    assert!(!commands.contains("other"), "devices know every command: {commands}");
}

/// Messages and confirmed commands of a connection, as soon as there are both.
fn connection(engine: &str, name: &str) -> [u64; 2] {
    let mut counts = [0; 2];
    for _ in 0..80 {
        if !counts.contains(&0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        let mut stream = TcpStream::connect(engine).unwrap();
        let head = format!("GET /v1/connections/{name} HTTP/1.0\r\nHost: {engine}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let status: Value = serde_json::from_str(body).unwrap();
        counts = ["received", "feedback_confirmed"].map(|key| status[key].as_u64().unwrap());
    }
    counts
}

fn ends_well(child: &mut Child) {
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}
