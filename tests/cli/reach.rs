//! Addresses that other machines reach: with TLS and keys, or not at all.

use std::path::Path;

use twinflow_servers::Authority;

use crate::program::{FILE, Server, directory, run};

/// The file with another address, and with TLS or keys.
fn file(address: &str, tls: bool, keys: bool) -> String {
    let mut server = format!("[server]\nlisten = \"{address}\"\n");
    if tls {
        server.push_str("tls = { cert_file = \"server.pem\", key_file = \"server.key\" }\n");
    }
    if keys {
        server.push_str("keys_file = \"keys.toml\"\n");
    }
    FILE.replace("[server]\nlisten = \"127.0.0.1:0\"\n", &server)
}

fn prepare(dir: &Path) {
    let authority = Authority::new(dir, "ca").expect("an authority");
    authority.sign("server", "subjectAltName=IP:127.0.0.1", 2).expect("a certificate");
    std::fs::write(dir.join("twinflow.toml"), file("127.0.0.1:0", false, true)).expect("a file");
    let made = run(dir, &["keys", "create", "--role", "admin"]);
    assert_eq!(made.code, Some(0), "{made:?}");
}

#[test]
fn s1_address_times_tls_times_keys() {
    let dir = directory("");
    let dir = dir.path();
    prepare(dir);
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        for (tls, keys) in [(false, false), (false, true), (true, false), (true, true)] {
            let text = file(address, tls, keys);
            std::fs::write(dir.join("twinflow.toml"), &text).unwrap();
            let may = address != "0.0.0.0:0" || (tls && keys);
            let checked = run(dir, &["validate", "--offline"]);
            assert_eq!(checked.code, Some(if may { 0 } else { 78 }), "{text}: {checked:?}");
            if may {
                assert_eq!(Server::start(dir).stop().0, Some(0), "{text}");
                continue;
            }
            let ended = run(dir, &["run", "--log-format", "text"]);
            assert_eq!(ended.code, Some(78), "{text}: {ended:?}");
            let lacks = match (tls, keys) {
                (false, false) => "neither TLS nor keys",
                (true, _) => "it has no keys",
                (false, true) => "it has no TLS",
            };
            assert!(ended.err.contains("server.listen: could not listen on 0.0.0.0:0"));
            assert!(ended.err.contains(lacks) && ended.err.contains("--insecure-listen"));
            let server = Server::start_with(dir, &["--insecure-listen"]);
            assert!(server.said.contains("INSECURE"), "{}", server.said);
            assert_eq!(server.stop().0, Some(0));
        }
    }
}

#[test]
fn s1_a_connection_with_its_own_listener_too() {
    let dir = directory("");
    let dir = dir.path();
    prepare(dir);
    let with = |keys: bool, tls: &str| {
        let text = format!("{}listen = \"0.0.0.0:0\"\n{tls}", file("127.0.0.1:0", false, keys));
        std::fs::write(dir.join("twinflow.toml"), text).unwrap();
        run(dir, &["validate"])
    };
    let tls = "tls = { cert_file = \"server.pem\", key_file = \"server.key\" }\n";
    for (keys, tls, lacks) in [
        (false, "", Some("neither TLS nor keys")),
        (false, tls, Some("it has no keys")),
        (true, "", Some("it has no TLS")),
        (true, tls, None),
    ] {
        let checked = with(keys, tls);
        assert_eq!(checked.code, Some(if lacks.is_none() { 0 } else { 78 }), "{checked:?}");
        let says = lacks.map_or(String::new(), |lacks| format!("connection \"web\": {lacks}"));
        let (_, reason) = says.split_once(": ").unwrap_or_default();
        assert!(checked.err.contains("\"web\"") == lacks.is_some(), "{checked:?}");
        assert!(checked.err.contains(reason), "{checked:?}");
    }
    let checked = with(false, "enabled = false\n");
    assert_eq!(checked.code, Some(78), "it could be resumed later: {checked:?}");
    let checked = with(false, "");
    assert_eq!(checked.code, Some(78));
    let open = run(dir, &["validate", "--insecure-listen"]);
    assert_eq!(open.code, Some(0), "{open:?}");
}

#[test]
fn s19_a_server_takes_the_files_that_its_connections_need() {
    let dir = directory(FILE);
    let server = Server::start_after(dir.path(), "ulimit -Sn 100 && ulimit -Hn 3000");
    let limits = server.proc("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3..5], ["3000", "3000"], "{line}");
    assert!(server.said.contains("may have few files open"), "{}", server.said);
    assert_eq!(server.stop().0, Some(0));
}
