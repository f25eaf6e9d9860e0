//! Case 16: killed whenever, each record is applied once and in order, and the group's offsets
//! end at the log's end.

use std::{io::Write, time::Duration};

use twinflow_servers::Kafka;

use super::tools::{ask, producer};
use crate::{
    clock::until,
    program::{Program, free_port},
};

const RECORDS: usize = 40_000;
const TWINS: usize = 100;
const KILLS: usize = 5;

/// The ids that a twin has applied, in order.
fn applied(program: &mut Program, twin: usize) -> Option<Vec<String>> {
    let twin = program.get(&format!("/v1/twins/audit/twin-{twin}"))?;
    let ids = twin["state"]["ids"].as_array().unwrap().iter();
    Some(ids.map(|id| id.as_str().unwrap().to_owned()).collect())
}

fn settings(brokers: &str) -> String {
    format!(
        "[models.audit]\ntype = \"journal\"\nkeep = {RECORDS}\n\
         [connections.readings]\ntype = \"kafka\"\nbrokers = [\"{brokers}\"]\n\
         connections = 2\ngroup = \"killed\"\ncommit_interval_ms = 100\n\
         reconnect_backoff_max_ms = 500\n\
         topics = [{{ topic = \"readings\", model = \"audit\" }}]\n"
    )
}

#[test]
fn case_16_a_killed_program_applies_each_record_once_and_in_order() {
    let kafka = Kafka::start().unwrap();
    let port = free_port();
    let topics = "org.apache.kafka.tools.TopicCommand";
    ask(&kafka, topics, &["--create", "--topic", "readings", "--partitions", "8"]);
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&kafka.bootstrap());

    let mut writer = producer(&kafka, "readings");
    let mut lines = writer.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        for number in 0..RECORDS {
            let twin = number % TWINS;
            writeln!(lines, "twin-{twin}:{{\"id\":{number},\"pad\":\"{:150}\"}}", "").unwrap();
            if number % 200 == 0 {
                std::thread::sleep(Duration::from_millis(40));
            }
        }
    });
    let mut seen = 0;
    for kill in 0..KILLS {
        let mut program = Program::start(dir.path(), port, &settings);
        // Until it has applied something new; then at another moment each time.
        until(60, "something new is applied", || {
            let now = applied(&mut program, 7).map_or(0, |ids| ids.len());
            assert!(now == 0 || now >= seen, "{now} of {seen} that were committed are there");
            let all = writing.is_finished() && now == seen && now > 0;
            let moved = now > seen;
            seen = seen.max(now);
            moved || all
        });
        std::thread::sleep(Duration::from_millis(100 + kill as u64 * 7919 % 500));
    }
    writing.join().unwrap();
    assert!(writer.wait().unwrap().success());

    let mut program = Program::start(dir.path(), port, &settings);
    for twin in 0..TWINS {
        let expected: Vec<_> =
            (0..RECORDS).filter(|number| number % TWINS == twin).map(|id| id.to_string()).collect();
        until(60, "all are applied", || {
            let ids = applied(&mut program, twin).unwrap_or_default();
            let so_far = ids.len().min(expected.len());
            assert!(ids[..so_far] == expected[..so_far], "twin-{twin}: repeated or out of order");
            assert!(ids.len() <= expected.len(), "twin-{twin}: {} were applied", ids.len());
            ids.len() == expected.len()
        });
    }
    let status = program.get("/v1/connections/readings").unwrap();
    assert_eq!(status["state"], "running", "{status}");
    until_no_lag(&kafka);
}

/// The group's offsets reach the log's end, as Kafka's own tool sees it.
fn until_no_lag(kafka: &Kafka) {
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    // The tool gives its own question five seconds, which a busy machine may take.
    let arguments = ["--describe", "--group", "killed", "--timeout", "30000"];
    until(180, "the group's offsets reach the end", || {
        let table = ask(kafka, class, &arguments);
        let lags = table.lines().filter(|line| line.starts_with("killed"));
        let lags: Vec<_> = lags.map(|line| line.split_whitespace().nth(5).unwrap()).collect();
        lags.len() == 8 && lags.iter().all(|lag| *lag == "0")
    });
}
