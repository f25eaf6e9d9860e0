//! A stored position is moved by hand, and the next start begins there (law D3).

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use twinflow_servers::Kafka;

use super::{PARTITIONS, Size, TOPIC, World, write};
use crate::{
    clock::until,
    program::{Program, free_port},
};

const SIZE: Size = Size { records: 800, twins: 8, kills: 0 };

fn settings(bootstrap: &str, enabled: bool) -> String {
    // Nothing of the file decides where a stored position is: `latest` would skip everything.
    format!(
        "[models.audit]\ntype = \"journal\"\n[connections.readings]\ntype = \"kafka\"\n\
         enabled = {enabled}\nbrokers = [\"{bootstrap}\"]\nstart = \"latest\"\n\
         topics = [{{ topic = \"{TOPIC}\", model = \"audit\" }}]\n"
    )
}

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn twinflow(dir: &std::path::Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// What each twin is told between two stops, by number; twin `t` is partition `t`.
fn applied(program: &Program) -> Vec<Vec<u64>> {
    let twins: Vec<_> = (0..SIZE.twins).map(|twin| SIZE.twin(twin)).collect();
    let journals = program.journals(&twins);
    let numbers = |ids: &Vec<String>| ids.iter().map(|id| id.parse().unwrap()).collect();
    twins.iter().map(|twin| journals.get(twin).map(numbers).unwrap_or_default()).collect()
}

#[test]
fn law_d3_only_a_reset_moves_a_position_and_the_next_start_begins_there() {
    let kafka = Kafka::start().unwrap();
    let (bootstrap, dir, port) = (kafka.bootstrap(), tempfile::tempdir().unwrap(), free_port());
    let world = World::new(&bootstrap, TOPIC, PARTITIONS);
    let own = |from: u64, to: u64, partition: u64| -> Vec<u64> {
        (from..to).filter(|n| n % PARTITIONS == partition).collect()
    };
    // With `latest` it begins at the end of what is there.
    let mut program = Program::start(dir.path(), port, &settings(&bootstrap, true));
    until(60, "it reads", || program.connection("readings").0 == "running");
    write(&world, &SIZE, 0..400);
    until(60, "all came", || applied(&program).iter().map(Vec::len).sum::<usize>() == 400);
    program.stop();
    write(&world, &SIZE, 400..800);

    let reset = |more: &[&str]| {
        twinflow(dir.path(), &[&["connections", "reset", "readings"], more].concat())
    };
    let one = reset(&["--topic", TOPIC, "--partition", "3", "--to", "40", "--output", "json"]);
    assert_eq!(one.code, Some(0), "{}", one.err);
    let said: Value = serde_json::from_str(&one.out).unwrap();
    let moved = json!([{ "topic": TOPIC, "partition": 3, "from": 50, "to": 40 }]);
    assert_eq!(said["moved"], moved);
    assert!(one.err.contains("applied again"), "{}", one.err);
    let unclear = reset(&["--to", "40"]);
    assert_eq!(unclear.code, Some(64), "{}", unclear.err);
    for (to, partition) in [("earliest", "1"), ("latest", "2")] {
        let ends = reset(&["--partition", partition, "--to", to]);
        assert_eq!(ends.code, Some(0), "{}", ends.err);
    }
    let audit = std::fs::read_to_string(dir.path().join("state/audit.log")).unwrap();
    let lines: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["event"] == "connections reset")
        .collect();
    assert_eq!(lines.len(), 3, "{audit}");
    assert!(lines[0]["what"].as_str().unwrap().contains(r#""from":50"#), "{audit}");

    let program = Program::start(dir.path(), port, &settings(&bootstrap, true));
    let expected: Vec<Vec<u64>> = (0..PARTITIONS)
        .map(|partition| {
            let next = match partition {
                1 => 0,
                2 => 100,
                3 => 40,
                _ => 50,
            };
            let first = own(0, 400, partition);
            [first, own(next * PARTITIONS, 800, partition)].concat()
        })
        .collect();
    let all = expected.iter().map(Vec::len).sum::<usize>();
    let counted = |program: &Program| applied(program).iter().map(Vec::len).sum::<usize>();
    until(60, "everything behind the positions came", || counted(&program) >= all);
    assert_eq!(applied(&program), expected);
    program.stop();

    // A position that no log has is refused by the start, which says what to do.
    assert_eq!(reset(&["--topic", TOPIC, "--partition", "3", "--to", "4000"]).code, Some(0));
    let mut program = Program::start(dir.path(), port, &settings(&bootstrap, true));
    until(60, "it fails", || program.connection("readings").0 == "failed");
    let why = program.connection("readings").1;
    assert!(why.contains("twinflow connections reset"), "{why}");
    program.stop();
}

#[test]
fn validate_and_reset_ask_the_brokers_and_say_what_they_are_told() {
    let mut kafka = Kafka::start().unwrap();
    let (bootstrap, dir, port) = (kafka.bootstrap(), tempfile::tempdir().unwrap(), free_port());
    drop(World::new(&bootstrap, TOPIC, PARTITIONS));
    let more = "[connections.web]\ntype = \"rest\"\n";
    let file = format!("{}connect_timeout_ms = 2000\n{more}", settings(&bootstrap, true));
    let file = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n{file}");
    std::fs::write(dir.path().join("twinflow.toml"), file).unwrap();
    let there = twinflow(dir.path(), &["validate"]);
    assert_eq!(there.code, Some(0), "{}", there.err);
    let line = format!("connection \"readings\": {bootstrap} is there, partitions: 8\n");
    assert!(there.out.starts_with(&line), "{}", there.out);
    kafka.kill(0).unwrap();
    let away = twinflow(dir.path(), &["validate"]);
    assert_eq!((away.code, away.out.as_str()), (Some(69), ""), "{}", away.err);
    let why = format!("error: connection \"readings\": could not reach a broker of {bootstrap}");
    assert!(away.err.starts_with(&why), "{}", away.err);
    assert_eq!(twinflow(dir.path(), &["validate", "--offline"]).code, Some(0));
    let reset = ["connections", "reset", "readings", "--to", "earliest"];
    assert_eq!(twinflow(dir.path(), &reset).code, Some(69));
    assert!(!dir.path().join("state").exists(), "nothing was made");
}
