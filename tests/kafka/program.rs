//! `twinflow run` as a process, and Kafka's own tools.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use twinflow_servers::Kafka;

/// A running program; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    port: u16,
}

/// A port of loopback that is free.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Program {
    pub(crate) fn start(dir: &Path, port: u16) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_twinflow"));
        program.args(["run", "-c", "twinflow.toml"]).current_dir(dir);
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let child = program.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, port }
    }

    /// The JSON at a path, once there is an answer with 200.
    pub(crate) fn get(&mut self, path: &str) -> Option<serde_json::Value> {
        self.ask("GET", path)
    }

    /// Asks for a change, and insists on 200.
    pub(crate) fn post(&mut self, path: &str) {
        self.ask("POST", path).unwrap();
    }

    /// The state of the connection, with its reason.
    pub(crate) fn state(&mut self) -> (String, String) {
        let status = self.get("/v1/connections/readings").unwrap_or_default();
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("error"))
    }

    fn ask(&mut self, method: &str, path: &str) -> Option<serde_json::Value> {
        assert!(self.child.try_wait().unwrap().is_none(), "the program ended by itself");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL: nothing is written, flushed or said any more.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Looks every 20 ms, for about a minute, until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _look in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not within a minute: {what}");
}

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
