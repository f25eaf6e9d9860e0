//! `twinflow run` as a process of its own, and the states of its twins over HTTP.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::clock::until;

/// Who asks for states at the same time.
const READERS: usize = 4;

/// How long the program may take for an answer: a machine that runs tests may stand still.
const WAIT_MS: u64 = 20_000;

/// Requests that a reader sends before it reads the first answer.
const AHEAD: usize = 64;

/// A running program.
pub(crate) struct Program {
    child: Child,
    port: u16,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// How a program is started.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Where it runs, with its file, its log and its state.
    pub(crate) dir: &'a Path,
    pub(crate) port: u16,
    pub(crate) workers: u64,
    /// Whether the process that works is a child of this one.
    pub(crate) supervised: bool,
    /// What else `[state]` has.
    pub(crate) state: &'a str,
    /// The rest of its file.
    pub(crate) file: &'a str,
    /// Variables of its environment.
    pub(crate) with: &'a [(&'a str, String)],
}

impl Program {
    /// Starts it in `dir` with this file and waits until it answers.
    pub(crate) fn start(dir: &Path, port: u16, file: &str) -> Self {
        let (workers, supervised) = (2, false);
        Self::start_as(Start { dir, port, workers, supervised, state: "", file, with: &[] })
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start_as(start: Start<'_>) -> Self {
        let mut program = Self::spawn(start);
        until(120, "the program is ready", || {
            assert!(program.runs(), "it ended at its start: {}", last_words(start.dir));
            program.is_ready()
        });
        program
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(start: Start<'_>) -> Self {
        let Start { dir, port, workers, supervised, state, file, with } = start;
        let file = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nworkers = {workers}\n\
             wait_ms = {WAIT_MS}\n[state]\ndir = \"state\"\n{state}{file}"
        );
        fs::write(dir.join("twinflow.toml"), file).unwrap();
        let log = fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_twinflow"))
            .args(["run", "-c", "twinflow.toml"])
            .args((!supervised).then_some("--no-supervise"))
            .envs(with.iter().map(|(name, value)| (name, value)))
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// Whether it has recovered and serves.
    pub(crate) fn is_ready(&self) -> bool {
        Asker::new(self.port).is_some_and(|mut asker| asker.get("/readyz").is_some())
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Whether it still runs; nothing but us may end it.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL for the child of a supervisor, which stays.
    pub(crate) fn kill_child(&mut self) {
        assert!(self.runs(), "the supervisor has ended");
        let child = self.child_pid().expect("there is a child");
        assert!(Command::new("kill").args(["-9", &child]).status().unwrap().success());
        until(10, "the child is gone", || self.child_pid().as_ref() != Some(&child));
    }

    /// SIGKILL for a supervisor; the kernel ends its child, and this waits for that.
    pub(crate) fn kill_both(&mut self) {
        let child = self.child_pid();
        self.kill();
        until(10, "the child is gone, too", || {
            child.as_ref().is_none_or(|child| !Path::new("/proc").join(child).exists())
        });
    }

    fn child_pid(&self) -> Option<String> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.unwrap().split_whitespace().next().map(str::to_owned)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        assert!(self.runs(), "it ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it drains, and ends with 0.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        until(60, "the program stops", || !self.runs());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "a clean end");
    }

    /// The JSON at a path, if there is anything.
    pub(crate) fn get(&mut self, path: &str) -> Option<Value> {
        assert!(self.runs(), "it ended by itself");
        Asker::new(self.port)?.get(path)
    }

    /// Asks for a change, and insists on 200.
    pub(crate) fn post(&mut self, path: &str) {
        assert!(self.runs(), "it ended by itself");
        Asker::new(self.port).unwrap().ask("POST", path).unwrap();
    }

    /// The state of a connection, with its reason.
    pub(crate) fn connection(&mut self, name: &str) -> (String, String) {
        let status = self.get(&format!("/v1/connections/{name}")).unwrap_or_default();
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("error"))
    }

    /// The committed states of these twins, as far as they exist.
    pub(crate) fn states(&self, model: &str, ids: &[String]) -> BTreeMap<String, Value> {
        self.states_in_time(model, ids).expect("the program answers in time")
    }

    /// The same; `None` if it had an answer to one of them that it did not give in time.
    pub(crate) fn states_in_time(
        &self,
        model: &str,
        ids: &[String],
    ) -> Option<BTreeMap<String, Value>> {
        let (found, late, port) = (Mutex::default(), AtomicBool::new(false), self.port);
        std::thread::scope(|scope| {
            for ids in ids.chunks(ids.len().div_ceil(READERS).max(1)) {
                let (found, late): (&Mutex<BTreeMap<_, _>>, _) = (&found, &late);
                scope.spawn(move || {
                    let mut asker = Asker::new(port).unwrap();
                    for ids in ids.chunks(AHEAD) {
                        let path = |id: &String| format!("/v1/twins/{model}/{id}");
                        let answers = asker.get_all(ids.iter().map(path));
                        late.fetch_or(asker.late, Ordering::SeqCst);
                        let states = ids
                            .iter()
                            .zip(answers)
                            .filter_map(|(id, twin)| Some((id.clone(), twin?["state"].take())));
                        found.lock().unwrap().extend(states);
                    }
                });
            }
        });
        (!late.into_inner()).then(|| found.into_inner().unwrap())
    }

    /// The journals of these twins: the ids that each has applied, in order.
    pub(crate) fn journals(&self, ids: &[String]) -> BTreeMap<String, Vec<String>> {
        let journal = |state: &Value| {
            let ids: Vec<String> = serde_json::from_value(state["ids"].clone()).unwrap();
            assert_eq!(state["count"], ids.len(), "the journal keeps all of its ids");
            ids
        };
        let states = self.states("audit", ids);
        states.iter().map(|(id, state)| (id.clone(), journal(state))).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The end of what the program said.
pub(crate) fn last_words(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// A connection to the API that stays open.
struct Asker {
    stream: BufReader<TcpStream>,
    port: u16,
    /// Whether an answer was not given in time.
    late: bool,
}

impl Asker {
    fn new(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(2 * WAIT_MS))).unwrap();
        Some(Self { stream: BufReader::new(stream), port, late: false })
    }

    fn get(&mut self, path: &str) -> Option<Value> {
        self.ask("GET", path)
    }

    /// What there is at these paths, asked for all at once.
    fn get_all(&mut self, paths: impl Iterator<Item = String>) -> Vec<Option<Value>> {
        let paths: Vec<_> = paths.collect();
        let requests: String = paths.iter().map(|path| self.request("GET", path)).collect();
        self.stream.get_mut().write_all(requests.as_bytes()).unwrap();
        paths.iter().map(|path| self.answer("GET", path)).collect()
    }

    /// The JSON of the answer; `None` for 404, and while the engine is not ready.
    fn ask(&mut self, method: &str, path: &str) -> Option<Value> {
        let request = self.request(method, path);
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        self.answer(method, path)
    }

    fn request(&self, method: &str, path: &str) -> String {
        let port = self.port;
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n")
    }

    fn answer(&mut self, method: &str, path: &str) -> Option<Value> {
        let (status, body) = read_answer(&mut self.stream)?;
        match status {
            200 => Some(serde_json::from_slice(&body).unwrap_or_default()),
            404 | 503 => None,
            504 => {
                self.late = true;
                None
            }
            _ => panic!("{method} {path}: {status} {}", String::from_utf8_lossy(&body)),
        }
    }
}

/// Status and body of an answer; `None` when the connection ended.
pub(crate) fn read_answer(stream: &mut BufReader<TcpStream>) -> Option<(u16, Vec<u8>)> {
    let (mut status, mut length) = (String::new(), 0);
    stream.read_line(&mut status).ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((status.split(' ').nth(1)?.parse().ok()?, body))
}
