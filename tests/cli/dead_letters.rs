//! Dead letters by the command line, and replays under kills.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, too")]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::program::{Server, directory, run};

const KILLS: usize = 6;
const TWINS: u64 = 20;
const MESSAGES: u64 = 15;
const CLIENTS: usize = 4;

/// A journal that finds ids at this place.
fn file(workers: usize, id: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = {workers}\n\
         [models.audit]\ntype = \"journal\"\nid = \"{id}\"\n\
         [connections.web]\ntype = \"rest\"\n"
    )
}

fn rewrite(dir: &Path, file: &str) {
    std::fs::write(dir.join("twinflow.toml"), file).unwrap();
}

#[test]
fn law_d5_what_was_mended_is_replayed_by_hand_and_what_is_not_stays() {
    let dir = directory(&file(1, "/id"));
    let ask = |server: &Server, arguments: &[&str]| {
        run(dir.path(), &[arguments, &["--server", &server.url()]].concat())
    };
    let server = Server::start(dir.path());
    let sent = ask(&server, &["send", "audit", "t", r#"{"number":7}"#]);
    assert_eq!(sent.code, Some(1), "{sent:?}");
    let list = ["dead-letters", "list", "--output", "json"];
    let letters: Value = serde_json::from_str(&ask(&server, &list).out).unwrap();
    let number = letters[0]["number"].to_string();
    let table = ask(&server, &list[..2]).out;
    let line = table.lines().nth(1).unwrap_or_default();
    assert!(line.starts_with(&number) && line.contains("failed  audit  t     web"), "{table}");
    let shown = ask(&server, &["dead-letters", "show", &number]).out;
    assert!(shown.contains(r#"{"number":7}"#), "{shown}");
    let again = ask(&server, &["dead-letters", "replay", &number]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("the message has no id at \"/id\""), "{again:?}");
    let second = ask(&server, &["send", "audit", "u", "{}"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert_eq!(server.stop().0, Some(0));

    rewrite(dir.path(), &file(2, "/number"));
    let server = Server::start(dir.path());
    let replayed = ask(&server, &["dead-letters", "replay", &number]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.out.starts_with(&format!("dead letter {number}: replayed in epoch ")));
    let twin = ask(&server, &["twins", "get", "audit", "t", "--output", "json"]).out;
    let twin: Value = serde_json::from_str(&twin).unwrap();
    assert_eq!(twin["state"]["ids"], json!(["7"]));
    let replayed = ask(&server, &["dead-letters", "replay", &number]);
    assert_eq!(replayed.code, Some(1), "once: {replayed:?}");
    let letters: Value = serde_json::from_str(&ask(&server, &list).out).unwrap();
    let left = letters[0]["number"].to_string();
    let dropped = ask(&server, &["dead-letters", "drop", &left]);
    assert!(dropped.out.contains("dropped in epoch"), "{dropped:?}");
    assert_eq!(ask(&server, &list).out, "[]\n");
    let new = ask(&server, &["send", "audit", "u", "{}"]);
    assert_eq!(new.code, Some(1), "{new:?}");
    let letters: Value = serde_json::from_str(&ask(&server, &list).out).unwrap();
    let numbers = [&number, &left].map(|number| number.parse::<u64>().unwrap());
    let newest = letters[0]["number"].as_u64().unwrap();
    assert!(numbers.iter().all(|number| *number < newest), "no number is given twice: {letters}");
}

/// Numbers still to be replayed, and what is known of those that are.
#[derive(Default)]
struct Replays {
    open: Vec<u64>,
    answered: BTreeSet<u64>,
    /// Without an answer: the process was killed meanwhile.
    unknown: BTreeSet<u64>,
}

#[test]
fn law_d5_a_replay_is_applied_once_and_gone_with_it_whenever_the_process_is_killed() {
    let dir = directory(&file(2, "/id"));
    let server = Server::start_alone(dir.path());
    for twin in 0..TWINS {
        let messages: Vec<_> = (0..MESSAGES).map(|number| json!({ "number": number })).collect();
        let body = Value::from(messages).to_string();
        let path = format!("/v1/twins/audit/t{twin}/messages");
        // The program is ready a moment before its connection is.
        let mut answers = (0..500).map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            http(&server.address, "POST", &path, &body).unwrap()
        });
        let answer = answers.find(|(status, _)| *status != 503).expect("it takes messages");
        assert_eq!(answer.0, 200, "{answer:?}");
    }
    let open = numbers(&server.address);
    assert_eq!(open.len() as u64, TWINS * MESSAGES);
    drop(server);

    let replays = Mutex::new(Replays { open, ..Replays::default() });
    for kill in 0..=KILLS {
        rewrite(dir.path(), &file(1 + kill % 3, "/number"));
        let server = Server::start_alone(dir.path());
        let left: BTreeSet<_> = numbers(&server.address).into_iter().collect();
        let answered = replays.lock().unwrap().answered.clone();
        assert!(left.is_disjoint(&answered), "answered and there again: {answered:?} {left:?}");
        let is_last = kill == KILLS;
        let share = TWINS * MESSAGES / (KILLS as u64 + 2) * (kill as u64 + 1);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let client = |_| scope.spawn(|| replay_all(&server.address, &replays, &stop));
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            // A client that panics ends the wait, too.
            while !is_last
                && clients.iter().all(|client| !client.is_finished())
                && (replays.lock().unwrap().answered.len() as u64) < share
            {
                std::thread::sleep(Duration::from_micros(100));
            }
            if !is_last {
                server.kill();
                stop.store(true, Ordering::SeqCst);
            }
        });
        if is_last {
            assert!(numbers(&server.address).is_empty(), "all are gone");
            (0..TWINS).for_each(|twin| assert_applied_once(&server.address, twin));
        }
    }
}

/// Takes one after the other until there are none or the process has gone.
fn replay_all(address: &str, replays: &Mutex<Replays>, stop: &AtomicBool) {
    loop {
        let Some(number) = replays.lock().unwrap().open.pop() else { return };
        let answer = http(address, "POST", &format!("/v1/dead-letters/{number}/replay"), "");
        let mut replays = replays.lock().unwrap();
        match answer {
            Some((200, _)) => assert!(replays.answered.insert(number)),
            Some((404, _)) => {
                assert!(replays.unknown.contains(&number), "{number} went without a replay");
            }
            Some((status, body)) => panic!("{number}: {status} {body}"),
            None => {
                replays.unknown.insert(number);
                replays.open.insert(0, number);
                drop(replays);
                // Whether it is the kill that did it shows in a moment.
                std::thread::sleep(Duration::from_millis(20));
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        }
    }
}

fn assert_applied_once(address: &str, twin: u64) {
    let (_, body) = http(address, "GET", &format!("/v1/twins/audit/t{twin}"), "").unwrap();
    let twin: Value = serde_json::from_str(&body).unwrap();
    let ids: Vec<String> = serde_json::from_value(twin["state"]["ids"].clone()).unwrap();
    let mut sorted: Vec<u64> = ids.iter().map(|id| id.parse().unwrap()).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..MESSAGES).collect::<Vec<_>>(), "{twin}");
}

/// All dead letters that there are.
fn numbers(address: &str) -> Vec<u64> {
    let (status, body) = http(address, "GET", "/v1/dead-letters?limit=1000", "").unwrap();
    assert_eq!(status, 200, "{body}");
    let listed: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(listed["next"], Value::Null);
    let letters = listed["dead_letters"].as_array().unwrap();
    letters.iter().map(|letter| letter["number"].as_u64().unwrap()).collect()
}

/// Status and body; `None`: no whole answer.
fn http(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    if length.parse() != Ok(body.len()) {
        return None;
    }
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
