//! Starts the program, reads what it says, finds its child, asks it over HTTP.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// One model, a mounted REST connection, ports of the system's choice.
pub(crate) const FILE: &str = r#"
[server]
listen = "127.0.0.1:0"
workers = 2

[models.journal]
type = "obeys"

[connections.web]
type = "rest"
"#;

/// A new directory with this file.
pub(crate) fn directory(file: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("twinflow.toml"), file).unwrap();
    dir
}

/// Waits until something is there.
pub(crate) fn until<T>(secs: u64, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "a test's patience")]
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(secs), "waited {secs} s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running supervisor with its child; both are gone when it is dropped.
pub(crate) struct Program {
    parent: Child,
    said: Arc<Mutex<String>>,
    /// Of the API.
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts it in `dir` and waits until it is ready.
    pub(crate) fn start(dir: &Path) -> Self {
        let program = Self::begin(dir, &[]);
        let began = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(30, "the first child is ready", || program.heard("ready").then_some(()));
        }));
        assert!(began.is_ok(), "{}", program.said());
        program
    }

    /// Starts it and waits until it has said where its API is.
    pub(crate) fn begin(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.current_dir(dir).args(["run", "--log-format", "text"]).args(arguments);
        let mut parent = command.stderr(Stdio::piped()).spawn().unwrap();
        let (said, err) = (Arc::<Mutex<String>>::default(), parent.stderr.take().unwrap());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let mut said = heard.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let mut program = Self { parent, said, address: "127.0.0.1:1".parse().unwrap() };
        program.address = until(30, "the address is said", || {
            let said = program.said();
            let (_, address) = said.split_once("api          http://")?;
            address.lines().next()?.parse().ok()
        });
        program
    }

    /// Everything that it and its children said.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn heard(&self, words: &str) -> bool {
        self.said().contains(words)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.parent.id()
    }

    /// The child, if there is one now.
    pub(crate) fn child(&self) -> Option<u32> {
        children(self.pid()).first().copied()
    }

    /// Kills the child as the operating system does.
    pub(crate) fn kill_child(&self) -> u32 {
        let child = until(30, "there is a child", || self.child());
        signal("KILL", child);
        child
    }

    /// Waits for the end of the supervisor; its exit code.
    pub(crate) fn ends(&mut self, secs: u64) -> Option<i32> {
        until(secs, "the supervisor ends", || self.parent.try_wait().unwrap()).code()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = ask(self.address, "GET", path, "").ok()?;
        (status == 200).then(|| serde_json::from_str(&body).unwrap_or_default())
    }

    /// The numbers that a twin has noted.
    pub(crate) fn numbers(&self, twin: &str) -> Option<Vec<u64>> {
        let answer = self.get(&format!("/v1/twins/journal/{twin}"))?;
        serde_json::from_value(answer["state"]["numbers"].clone()).ok()
    }

    /// Posts a message, again while the server says that it is not ready; status and answer.
    pub(crate) fn post(&self, twin: &str, body: &str) -> io::Result<(u16, String)> {
        let path = format!("/v1/twins/journal/{twin}/messages");
        until(30, "it is ready", || {
            let answer = ask(self.address, "POST", &path, body);
            (!matches!(answer, Ok((503, _)))).then_some(answer)
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let child = self.child();
        let _gone = self.parent.kill().is_err();
        let _reaped = self.parent.wait().is_err();
        // It ends with its parent; another test may use its directory.
        child.inspect(|child| until(10, "the child has gone", || (!runs(*child)).then_some(())));
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success(), "{pid} has gone");
}

/// Whether a process is there and has not ended.
pub(crate) fn runs(pid: u32) -> bool {
    status(&pid.to_string(), "State:").is_some_and(|state| !state.starts_with('Z'))
}

fn children(of: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let own = all.filter(|pid| status(pid, "PPid:").is_some_and(|parent| parent == of.to_string()));
    own.filter_map(|pid| pid.parse().ok()).filter(|pid| runs(*pid)).collect()
}

fn status(pid: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()))
}

/// One request on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}
