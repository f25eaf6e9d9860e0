//! Starts the program and reads what it says.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use tempfile::TempDir;

/// A file with one model and a mounted REST connection, on a port of the system's choice.
pub(crate) const FILE: &str = r#"
[server]
listen = "127.0.0.1:0"

[models.turbines]
type = "wind-turbine"

[connections.web]
type = "rest"
"#;

/// A new directory with this `twinflow.toml`.
pub(crate) fn directory(file: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("twinflow.toml"), file).expect("a file");
    dir
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinflow"));
    command
        .current_dir(dir)
        .args(arguments)
        .env_remove("TWINFLOW_SERVER")
        .env_remove("TWINFLOW_KEY");
    command
}

/// What the program gave.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Ended {
    let Output { status, stdout, stderr } =
        command(dir, arguments).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// `twins watch` while it runs.
pub(crate) struct Watched(Child, BufReader<ChildStderr>);

impl Watched {
    /// Starts it and waits until it listens.
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = command(dir, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        err.read_line(&mut line).expect("it prints UTF-8");
        assert_eq!(line, "listening; Ctrl-C ends\n");
        Self(child, err)
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Ended {
        let Self(child, mut err) = self;
        let output = child.wait_with_output().expect("its own child");
        let out = String::from_utf8(output.stdout).expect("it prints UTF-8");
        let mut said = String::new();
        err.read_to_string(&mut said).expect("it prints UTF-8");
        Ended { code: output.status.code(), out, err: said }
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    err: BufReader<ChildStderr>,
    scheme: String,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// What it said until it was ready.
    pub(crate) said: String,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// The same as one process, which can be killed as a whole.
    pub(crate) fn start_alone(dir: &Path) -> Self {
        Self::start_with(dir, &["--no-supervise"])
    }

    /// The same, with more arguments.
    pub(crate) fn start_with(dir: &Path, more: &[&str]) -> Self {
        let mut command = command(dir, &[&["run", "--log-format", "text"], more].concat());
        Self::watch(command.stderr(Stdio::piped()).spawn().expect("the program starts"))
    }

    /// Starts it with the limits that a line of a shell sets.
    pub(crate) fn start_after(dir: &Path, line: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_twinflow");
        let line = format!("{line} && exec {program} run --log-format text");
        let mut command = Command::new("sh");
        command.current_dir(dir).args(["-c", &line]).stderr(Stdio::piped());
        Self::watch(command.spawn().expect("a shell"))
    }

    fn watch(mut child: Child) -> Self {
        let err = BufReader::new(child.stderr.take().expect("a pipe"));
        // From here on dropping it ends and reaps the process.
        let (scheme, address, said) = (String::new(), String::new(), String::new());
        let mut server = Self { child, err, scheme, address, said };
        while !server.said.trim_end().ends_with("ready") {
            let mut line = String::new();
            let read = server.err.read_line(&mut line).expect("it prints UTF-8");
            assert!(read > 0, "it ended: {}", server.said);
            server.said.push_str(&line);
            if let Some((_, url)) = line.split_once("  api          ") {
                let url = url.split([',', '\n']).next().unwrap_or_default();
                let (scheme, address) = url.split_once("://").expect("an address");
                (server.scheme, server.address) = (scheme.to_owned(), address.to_owned());
            }
        }
        server
    }

    /// What the system says of the engine's process, the supervisor's child: for example `limits`.
    pub(crate) fn proc(&self, file: &str) -> String {
        let parent = format!("PPid:\t{}\n", self.child.id());
        let read = |process: &Path, file: &str| std::fs::read_to_string(process.join(file));
        let all = std::fs::read_dir("/proc").expect("the processes").flatten();
        let engine = all
            .map(|entry| entry.path())
            .find(|process| read(process, "status").is_ok_and(|text| text.contains(&parent)));
        read(&engine.expect("the supervisor has a child"), file).expect("a process")
    }

    /// Its address for `--server`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-KILL", &id]).status().expect("kill").success());
    }

    /// Asks it to stop; gives the code and what it said since it was ready.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        let mut said = String::new();
        self.err.read_to_string(&mut said).expect("it prints UTF-8");
        (self.child.wait().expect("its own child").code(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped before, in a test that goes well.
        let _gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}
