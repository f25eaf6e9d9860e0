//! Canaries: texts that must not turn up, looked for everywhere after a server has lived.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, too")]

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::program::{directory, run};

/// Passwords that the connections log in with.
const PASSWORDS: [&str; 2] = ["canary-kafka-password", "canary-mqtt-password"];
/// A key that is none.
const NO_KEY: &str = "tf_0123456789_canary-wrong-key";
/// Stands in every payload.
const PAYLOAD: &str = "canary-of-a-payload";

/// A server whose output goes to files, however much it says.
struct Talkative {
    child: Child,
    address: String,
}

impl Talkative {
    fn start(dir: &Path, level: &str) -> Self {
        let file = |name: &str| File::create(dir.join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_twinflow"))
            .current_dir(dir)
            .args(["run", "--log", level, "--no-supervise"])
            .stdout(file("out.txt"))
            .stderr(file("err.txt"))
            .spawn()
            .unwrap();
        let mut server = Self { child, address: String::new() };
        for _ in 0..600 {
            let said = fs::read_to_string(dir.join("err.txt")).unwrap();
            let address = said.split("  api          http://").nth(1);
            let address = address.and_then(|rest| rest.split([',', '\n']).next());
            server.address = address.unwrap_or_default().to_owned();
            // The broker lets nobody in, so it never says that all is well.
            let answer = server.ask("GET", "/readyz", "", "");
            if answer.contains(" 200 ") || (answer.contains(" 503 ") && said.contains("ready")) {
                return server;
            }
            assert!(server.child.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not ready");
    }

    /// One request; the whole answer.
    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return String::new() };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The same question over HTTP/2, whose library has a log of its own.
    fn ask_by_http2(&self, key: &str) -> usize {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        // GET, http, "/metrics" and a name by the static table, and the key as it is.
        let mut headers = vec![0x82, 0x86];
        headers.extend([&[0x44][..], &text("/metrics"), &[0x41], &text("localhost")].concat());
        headers.extend(
            [&[0x00][..], &text("authorization"), &text(&format!("Bearer {key}"))].concat(),
        );
        let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
            let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
            [&head[..], payload].concat()
        };
        let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
        stream.write_all(&[all, frame(1, 5, 1, &headers)].concat()).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return answer.len(),
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return answer.len();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Talkative {
    fn drop(&mut self) {
        // Stopped before, in a test that goes well.
        let _gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}

/// An MQTT 5 broker that lets nobody in, and what it was told.
fn refusing_broker() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, told) = (listener.local_addr().unwrap().port(), Arc::default());
    let heard: Arc<Mutex<Vec<u8>>> = Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut packet = [0; 1024];
            let count = stream.read(&mut packet).unwrap_or(0);
            heard.lock().unwrap().extend_from_slice(&packet[..count]);
            // CONNACK: bad user name or password.
            let _closed = stream.write_all(&[0x20, 3, 0, 0x86, 0]).is_err();
        }
    });
    (port, told)
}

fn file(port: u16) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nkeys_file = \"keys.toml\"\n\
         [models.turbines]\ntype = \"wind-turbine\"\n[models.shadows]\ntype = \"shadow\"\n\
         [connections.web]\ntype = \"rest\"\n\
         [connections.plant]\ntype = \"kafka\"\nbrokers = [\"127.0.0.1:{port}\"]\n\
         topics = [{{ topic = \"t\", model = \"shadows\" }}]\n\
         connect_timeout_ms = 500\nsasl = {{ mechanism = \"PLAIN\", username = \"ann\", \
         password = \"${{file:kafka.secret}}\" }}\n\
         [connections.field]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\n\
         client_id = \"c\"\nusername = \"ann\"\npassword_file = \"mqtt.secret\"\n\
         topics = [{{ topic = \"t/{{twin}}\", model = \"shadows\" }}]\n"
    )
}

/// Every file below a directory, with its bytes.
fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|at| at == text.as_bytes())
}

/// What a plant does in a day, and what people ask; the answers that show no payload by right.
fn a_day(server: &Talkative, admin: &str) -> Vec<String> {
    let post = |path: &str, body: &str| server.ask("POST", path, admin, body);
    let state = format!("{{\"note\":\"{PAYLOAD}\"}}");
    while post("/v1/twins/shadows/a/messages", &state).contains(" 503 ") {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(post("/v1/twins/shadows/a/messages", &state).contains(" 200 "));
    // Of a wrong type, no JSON, for nobody, in a line, acknowledged under a name that nobody gave.
    let wrong = format!("{{\"bearing_celsius\":\"{PAYLOAD}\"}}");
    assert!(post("/v1/twins/turbines/a/messages", &wrong).contains(" 500 "));
    assert!(post("/v1/twins/shadows/a/messages", &format!("{{{PAYLOAD}")).contains(" 400 "));
    assert!(post("/v1/twins/nobody/a/messages", &state).contains(" 404 "));
    let line =
        format!("{{\"model\":\"turbines\",\"twin\":\"b\",\"payload\":\"{PAYLOAD}\"}}\n{PAYLOAD}\n");
    assert!(post("/v1/messages", &line).contains(" 200 "));
    let ack = format!("{{\"through\":\"{PAYLOAD}\"}}");
    assert!(post("/v1/twins/shadows/a/feedback/ack", &ack).contains(" 400 "));
    let state = server.ask("GET", "/v1/twins/shadows/a", admin, "");
    assert!(state.contains(PAYLOAD), "{state}");
    assert!(post("/v1/dead-letters/1/replay", "").contains(" 500 "));

    let mut answers = vec![
        server.ask("GET", "/v1/connections", NO_KEY, ""),
        server.ask("GET", "/v1/connections", PASSWORDS[0], ""),
    ];
    assert!(answers.iter().all(|answer| answer.contains(" 401 ")), "{answers:?}");
    assert!(server.ask_by_http2(admin) > 1000 && server.ask_by_http2(NO_KEY) > 0);
    for path in
        ["/v1/connections", "/v1/connections/plant", "/metrics", "/readyz", "/openapi.json", "/"]
    {
        let answer = server.ask("GET", path, admin, "");
        assert!(answer.contains("HTTP/1.1 "), "{path}");
        answers.push(answer);
    }
    answers
}

#[test]
fn s15_s17_no_secret_turns_up_anywhere_and_no_payload_in_a_log_above_trace() {
    for level in ["trace", "debug"] {
        let (port, told) = refusing_broker();
        let dir = directory(&file(port));
        let dir = dir.path();
        for (name, password) in ["kafka.secret", "mqtt.secret"].iter().zip(PASSWORDS) {
            fs::write(dir.join(name), password).unwrap();
        }
        let made = run(dir, &["keys", "create", "--role", "admin"]);
        let admin = made.out.trim();
        assert!(admin.starts_with("tf_"), "{made:?}");
        let server = Talkative::start(dir, level);
        let answers = a_day(&server, admin);
        while !holds(&told.lock().unwrap(), PASSWORDS[1]) {
            std::thread::sleep(Duration::from_millis(20));
        }
        server.stop();
        let verbs =
            [&["config"][..], &["validate", "--offline"], &["state", "info"], &["validate"]];
        let verbs = verbs.map(|verb| run(dir, verb)).map(|ended| ended.out + &ended.err);
        assert!(verbs[0].contains("${file:kafka.secret}"), "{}", verbs[0]);

        for name in ["kafka.secret", "mqtt.secret", "twinflow.toml"] {
            fs::remove_file(dir.join(name)).unwrap();
        }
        let left = files(dir);
        let log = |name: &str| left.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        assert!(log("err.txt").1.len() > 1000 && left.len() > 5, "there is something to look at");
        let said = answers.iter().chain(&verbs).map(|text| ("an answer", text.as_bytes()));
        let everything = left.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        for (place, bytes) in everything.chain(said) {
            let secret = admin.rsplit_once('_').unwrap().1;
            for canary in [PASSWORDS[0], PASSWORDS[1], "canary-wrong-key", secret] {
                assert!(!holds(bytes, canary), "{canary} at {level} in {place}");
            }
        }
        if level != "trace" {
            for name in ["err.txt", "out.txt", "audit.log"] {
                let text = String::from_utf8_lossy(&log(name).1);
                let line = text.lines().find(|line| line.contains(PAYLOAD));
                assert_eq!(line, None, "a payload at {level} in {name}");
            }
        }
        assert!(answers.iter().all(|answer| !answer.contains(PAYLOAD)), "{answers:?}");
    }
}
