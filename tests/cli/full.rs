//! A model whose dead letters take all that they may (law D12), by HTTP and the command line.

use std::time::Duration;

use serde_json::Value;

use crate::program::{Server, directory, run};

const FILE: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\
    [models.audit]\ntype = \"journal\"\ndead_letters_bytes_max = 1\n\
    [models.fans]\ntype = \"journal\"\n\
    [connections.web]\ntype = \"rest\"\n";

#[test]
fn law_d12_callers_get_503_for_that_model_until_its_dead_letters_are_dropped() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    let ask = |words: &[&str]| run(dir.path(), &[words, &["--server", &server.url()]].concat());
    // What the engine looks at ten times a second shows a little later.
    let until = |words: &[&str], said: &str| {
        let mut looks = (0..400).map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            ask(words)
        });
        assert!(looks.any(|it| format!("{}{}", it.out, it.err).contains(said)), "{said}");
    };
    let sent = ask(&["send", "audit", "t", "{}"]);
    assert!(sent.err.contains("no id at \"/id\""), "{sent:?}");
    let full = "its dead letters take all of 1 bytes; drop or replay some";
    until(&["send", "audit", "t", r#"{"id":1}"#], full);
    assert_eq!(ask(&["send", "fans", "t", r#"{"id":1}"#]).code, Some(0), "it is no other's fault");

    let list = ask(&["dead-letters", "list", "--output", "json"]).out;
    let letters: Vec<Value> = serde_json::from_str(&list).unwrap();
    for letter in letters {
        let dropped = ask(&["dead-letters", "drop", &letter["number"].to_string()]);
        assert!(dropped.out.contains("dropped in epoch"), "{dropped:?}");
    }
    until(&["send", "audit", "t", r#"{"id":1}"#], "\"applied\":1");
    let (code, said) = server.stop();
    assert_eq!(code, Some(0));
    assert!(said.contains("nothing more is taken in: its dead letters"), "{said}");
    assert!(said.contains("there is room for dead letters again"), "{said}");
}
