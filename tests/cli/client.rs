//! The verbs that ask a running server.

use serde_json::{Value, json};

use crate::program::{FILE, Server, Watched, directory, run};

#[test]
fn a_message_is_sent_read_and_kept_over_a_restart() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    for expected in ["web (type \"rest\"): at least once", "turbines (type \"wind-turbine\")"] {
        assert!(server.said.contains(expected), "{}", server.said);
    }
    let url = server.url();
    let ask = |arguments: &[&str]| run(dir.path(), &[arguments, &["--server", &url]].concat());
    let sent = ask(&["send", "turbines", "t/1", r#"{"bearing_celsius":96.0}"#]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let sent: Value = serde_json::from_str(&sent.out).unwrap();
    assert_eq!(sent["applied"], 1);
    assert_eq!(ask(&["twins", "list", "turbines"]).out, "ID\nt/1\n");
    let list = ask(&["connections", "list"]).out;
    assert!(list.contains("web   rest  running  1"), "{list}");
    assert_eq!(ask(&["connections", "pause", "web"]).code, Some(0));
    assert_eq!(ask(&["connections", "resume", "web"]).code, Some(0));
    let (code, said) = server.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.trim_end().ends_with("epochs closed, nothing left"), "{said}");

    let server = Server::start(dir.path());
    let url = server.url();
    let get = ["twins", "get", "turbines", "t/1", "--output", "json", "--server", &url];
    let twin: Value = serde_json::from_str(&run(dir.path(), &get).out).unwrap();
    assert_eq!(twin["state"], json!({ "hot_readings": 1 }));
}

#[test]
fn a_refusal_is_1_with_the_servers_words_and_no_server_is_69() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    let url = server.url();
    let refused = run(dir.path(), &["twins", "get", "turbines", "none", "--server", &url]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.starts_with("error: 404 model \"turbines\" has no twin \"none\" (request "),
        "{}",
        refused.err
    );
    assert_eq!(server.stop().0, Some(0));
    let away = run(dir.path(), &["twins", "list", "turbines", "--server", &url]);
    assert_eq!(away.code, Some(69), "{away:?}");
    assert!(away.err.contains("is the server running?"), "{}", away.err);
}

#[test]
fn the_memory_store_says_what_it_gives_up() {
    let dir = directory(&format!("[state]\nstore = \"memory\"\n{FILE}"));
    let server = Server::start(dir.path());
    assert!(server.said.contains("memory: GIVES UP everything"), "{}", server.said);
    assert_eq!(server.stop().0, Some(0));
    assert!(!dir.path().join("state").exists());
}

#[test]
fn what_is_done_to_a_twin_is_watched_until_the_server_ends() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    let url = server.url();
    let watch = |twin: &[&str], more: &[&str]| {
        let verb = ["twins", "watch", "turbines"];
        Watched::start(dir.path(), &[&verb, twin, &["--server", &url], more].concat())
    };
    let (one, all) = (watch(&["t1"], &[]), watch(&[], &["--output", "json"]));
    for (twin, celsius) in [("t1", 96.0), ("t2", 20.0), ("t1", 97.0)] {
        let message = json!({ "bearing_celsius": celsius }).to_string();
        let sent = run(dir.path(), &["send", "turbines", twin, &message, "--server", &url]);
        assert_eq!(sent.code, Some(0), "{sent:?}");
    }
    let (code, said) = server.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("did not end"), "who watches holds the stop up: {said}");
    let (one, all) = (one.end(), all.end());
    assert_eq!((one.code, all.code), (Some(69), Some(69)), "{one:?}");
    assert!(one.err.contains("has ended the stream"), "{}", one.err);
    let lines: Vec<_> = one.out.lines().filter(|line| !line.starts_with("epoch ")).collect();
    let expected = [
        "  message  {\"bearing_celsius\":96.0}",
        "  new      {\"hot_readings\":1}",
        "  message  {\"bearing_celsius\":97.0}",
        "  state    hot_readings: 1 -> 2",
    ];
    assert_eq!(lines, expected);
    let twins: Vec<Value> = all
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["twin"].clone())
        .collect();
    assert_eq!(twins, ["t1", "t2", "t1"]);
}
