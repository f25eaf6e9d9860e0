//! Kafka's own tools, as a person would use them.

use std::process::{Child, Command, Stdio};

use twinflow_servers::Kafka;

fn tool(kafka: &Kafka, class: &str, arguments: &[&str]) -> Command {
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-cp", kafka.class_path(), class]);
    java.args(["--bootstrap-server", &kafka.bootstrap()]).args(arguments);
    java
}

/// Runs one of Kafka's tools and gives what it printed.
pub(crate) fn ask(kafka: &Kafka, class: &str, arguments: &[&str]) -> String {
    let output = tool(kafka, class, arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A producer that writes a line `key:value` as a record.
pub(crate) fn producer(kafka: &Kafka, topic: &str) -> Child {
    let class = "org.apache.kafka.tools.ConsoleProducer";
    let reader = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    let mut producer = tool(kafka, class, &[&["--topic", topic], &reader[..]].concat());
    producer.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
