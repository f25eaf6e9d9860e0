//! Bad input: each with its exit code and a sentence.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::program::{FILE, Server, directory, run};

#[track_caller]
fn refused(file: &str, code: i32, expected: &str) {
    let dir = directory(file);
    let ended = run(dir.path(), &["run", "--log-format", "text"]);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.err.contains(expected), "{}", ended.err);
    assert_eq!(ended.out, "");
    assert!(!dir.path().join("state").exists(), "nothing was made");
}

#[test]
fn an_unknown_key_is_78_with_its_line() {
    refused(
        &FILE.replace("listen", "lisen"),
        78,
        "error: twinflow.toml:3: server.lisen: unknown key; did you mean \"listen\"?",
    );
}

#[test]
fn a_wrong_value_is_78_with_its_line() {
    refused(
        &format!("{FILE}wait_ms = \"soon\"\n"),
        78,
        "error: twinflow.toml:10: connections.web.wait_ms: found the string \"soon\", expected a \
         whole number, 0 or more",
    );
}

#[test]
fn a_missing_file_is_78_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(dir.path(), &["run", "-c", "plant.toml"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.err.contains("error: plant.toml: "), "{}", ended.err);
}

#[test]
fn an_address_that_others_could_reach_is_78() {
    refused(&FILE.replace("127.0.0.1:0", "0.0.0.0:0"), 78, "neither TLS nor keys");
}

#[test]
fn two_rest_connections_without_a_listener_are_78() {
    let more = format!("{FILE}\n[connections.other]\ntype = \"rest\"\n");
    refused(&more, 78, "connections \"other\" and \"web\" are both without a listener");
}

#[test]
fn a_port_in_use_is_69_and_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let expected = format!("could not listen on {address}: ");
    refused(&FILE.replace("127.0.0.1:0", &address), 69, &expected);
    let own = format!("{FILE}listen = \"{address}\"\n");
    refused(&own, 69, &format!("connection \"web\": could not listen on {address}"));
    let dir = directory(&FILE.replace("127.0.0.1:0", &address));
    assert_eq!(run(dir.path(), &["validate"]).code, Some(69));
    assert_eq!(run(dir.path(), &["validate", "--offline"]).code, Some(0));
}

#[test]
fn garbage_on_the_port_ends_its_connection_only() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    for garbage in [&b"\0\xff\x16\x03\x01 no http\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"\n"] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _reset = stream.read_to_end(&mut answer).is_err();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{garbage:?}");
    }
    let list = run(dir.path(), &["connections", "list", "--server", &server.url()]);
    assert_eq!(list.code, Some(0), "{list:?}");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_state_directory_in_use_is_78() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    let second = run(dir.path(), &["run", "--log-format", "text"]);
    assert_eq!(second.code, Some(78), "{second:?}");
    assert!(second.err.contains("is in use by another twinflow"), "{}", second.err);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_foreign_directory_is_78_and_left_as_it_is() {
    let dir = directory(FILE);
    fs::create_dir(dir.path().join("state")).unwrap();
    fs::write(dir.path().join("state/holiday.jpg"), "x").unwrap();
    let ended = run(dir.path(), &["run", "--log-format", "text"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("is no state directory: it holds \"holiday.jpg\""), "{ended:?}");
    assert_eq!(fs::read_dir(dir.path().join("state")).unwrap().count(), 1);
}

#[test]
fn a_directory_of_another_version_is_78() {
    let dir = directory(FILE);
    assert_eq!(Server::start(dir.path()).stop().0, Some(0));
    let marker = dir.path().join("state/twinflow-state");
    let text = fs::read_to_string(&marker).unwrap();
    assert!(text.contains('1'), "{text:?}");
    fs::write(&marker, text.replace('1', "999")).unwrap();
    let ended = run(dir.path(), &["run", "--log-format", "text"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("has format 999"), "{}", ended.err);
}

#[test]
fn law_d8_a_model_that_the_file_lacks_is_78() {
    let dir = directory(FILE);
    let server = Server::start(dir.path());
    let url = server.url();
    let sent = run(
        dir.path(),
        &["send", "turbines", "t-1", r#"{"bearing_celsius":1.0}"#, "--server", &url],
    );
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert_eq!(server.stop().0, Some(0));
    fs::write(dir.path().join("twinflow.toml"), FILE.replace("turbines", "windmills")).unwrap();
    let ended = run(dir.path(), &["run", "--log-format", "text"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("turbines"), "{}", ended.err);
}
