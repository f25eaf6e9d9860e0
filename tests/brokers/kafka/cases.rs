//! Cases 17 and 27 of the behaviour, and a broker that is killed and comes back.

use std::io::Write;

use twinflow_servers::Kafka;

use super::tools::{ask, producer};
use crate::{
    clock::until,
    program::{Program, free_port},
};

fn settings(brokers: &str) -> String {
    format!(
        "[models.turbines]\ntype = \"wind-turbine\"\n\
         [connections.readings]\ntype = \"kafka\"\nbrokers = [\"{brokers}\"]\n\
         connect_timeout_ms = 1000\nreconnect_backoff_max_ms = 500\n\
         discovery_interval_ms = 500\nfeedback = {{ topic = \"commands\" }}\n\
         topics = [{{ topic = \"readings\", model = \"turbines\" }}]\n"
    )
}

fn write(kafka: &Kafka, line: &str, times: usize) {
    let mut producer = producer(kafka, "readings");
    let mut lines = producer.stdin.take().unwrap();
    for _ in 0..times {
        writeln!(lines, "{line}").unwrap();
    }
    drop(lines);
    assert!(producer.wait().unwrap().success());
}

fn commands(kafka: &Kafka, count: usize) -> String {
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let count = count.to_string();
    let arguments = ["--topic", "commands", "--from-beginning"];
    let print = ["--formatter-property", "print.key=true", "--timeout-ms", "30000"];
    ask(kafka, class, &[&arguments[..], &print, &["--max-messages", &count]].concat())
}

#[test]
fn case_27_brokers_come_and_go_and_connections_pause_and_nothing_is_lost() {
    let mut kafka = Kafka::start().unwrap();
    let port = free_port();
    for topic in ["readings", "commands"] {
        let topics = "org.apache.kafka.tools.TopicCommand";
        ask(&kafka, topics, &["--create", "--topic", topic]);
    }
    let hot = "t-1:{\"bearing_celsius\":96.0}";
    write(&kafka, hot, 2);
    kafka.kill(0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path(), port, &settings(&kafka.bootstrap()));
    until(60, "the engine runs and the connection waits", || {
        program.connection("readings").0 == "connecting"
    });
    let received = |program: &mut Program| {
        program.get("/v1/connections/readings").unwrap()["received"].as_u64().unwrap()
    };
    // Longer than one try to connect: between sessions it is `connecting` still.
    until(60, "it says why", || {
        program.connection("readings").1.contains("reach a broker of 127.0.0.1:")
    });
    assert_eq!(program.connection("readings").0, "connecting");
    kafka.start_node(0).unwrap();
    until(60, "it runs", || program.connection("readings") == ("running".into(), String::new()));
    until(60, "both came", || received(&mut program) == 2);

    program.post("/v1/connections/readings/pause");
    until(60, "it is paused", || program.connection("readings").0 == "paused");
    write(&kafka, hot, 1);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(received(&mut program), 2, "nothing is taken while it is paused");
    program.post("/v1/connections/readings/resume");
    until(60, "it goes on where it stopped", || received(&mut program) == 3);

    kafka.kill(0).unwrap();
    until(60, "it has lost its broker", || program.connection("readings").0 == "degraded");
    kafka.start_node(0).unwrap();
    until(60, "it runs again", || program.connection("readings").0 == "running");
    // Case 17: no key is a dead letter and the partition goes on; the reply has the twin's key.
    write(&kafka, hot, 1);
    let text = commands(&kafka, 1);
    assert_eq!(text.lines().next(), Some("t-1\t\"brake\""), "{text}");
    assert_eq!(received(&mut program), 4);
    let repeated = program.get("/v1/connections/readings").unwrap()["repeated_positions"].clone();
    assert_eq!(repeated, 0, "a new session begins behind what was taken");
}
