//! `twinflow keys`, and a server that asks for them.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use serde_json::Value;

use crate::program::{Ended, FILE, Server, directory, run};

fn with_keys() -> String {
    FILE.replacen("[server]\n", "[server]\nkeys_file = \"keys.toml\"\n", 1)
}

fn create(dir: &Path, arguments: &[&str]) -> String {
    let ended = run(dir, &[&["keys", "create"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.err.contains("tf_"), "{ended:?}");
    ended.out.trim().to_owned()
}

#[test]
fn s8_keys_are_made_listed_asked_for_and_revoked() {
    let file = with_keys();
    let dir = directory(&file);
    let dir = dir.path();
    let none = run(dir, &["run"]);
    assert_eq!(none.code, Some(78), "{none:?}");
    assert!(none.err.contains("twinflow keys create"), "{none:?}");
    assert!(!dir.join("state").exists());

    let admin = create(dir, &["--role", "admin"]);
    let device = create(dir, &["--role", "ingest", "--model", "turbines", "--twins", "site-1/*"]);
    let twins = ["--twins", "{client_id}/*"];
    let lacks = run(dir, &[&["keys", "create", "--role", "ingest"], &twins[..]].concat());
    assert!(lacks.code == Some(64) && lacks.err.contains("has no client_id"), "{lacks:?}");
    let of_client = [&["--role", "ingest", "--client-id", "pump-1"], &twins[..]].concat();
    let client = create(dir, &of_client);
    let stored = fs::read_to_string(dir.join("keys.toml")).unwrap();
    let secret = admin.rsplit_once('_').unwrap().1;
    assert!(secret.len() == 64 && !stored.contains(secret), "{stored}");
    assert_eq!(fs::metadata(dir.join("keys.toml")).unwrap().mode() & 0o777, 0o600);
    let prefix = |key: &str| key.split('_').nth(1).unwrap().to_owned();
    let (admins, devices) = (prefix(&admin), prefix(&device));
    let listed = run(dir, &["keys", "list"]).out;
    let lines = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines: Vec<_> = lines.collect();
    let clients = prefix(&client);
    let expected: [Vec<&str>; 4] = [
        vec!["PREFIX", "ROLE", "MODELS", "TWINS"],
        vec![&admins, "admin", "*", "*"],
        vec![&devices, "ingest", "turbines", "site-1/*"],
        vec![&clients, "ingest", "*", "pump-1/*"],
    ];
    assert_eq!(lines, expected);

    let server = Server::start(dir);
    let url = server.url();
    let ask = |key: &str, arguments: &[&str]| -> Ended {
        run(dir, &[arguments, &["--server", &url, "--key", key]].concat())
    };
    let message = r#"{"bearing_celsius":1.0}"#;
    assert_eq!(ask(&device, &["send", "turbines", "site-1/7", message]).code, Some(0));
    let other = ask(&device, &["send", "turbines", "site-2/7", message]);
    assert!(other.code == Some(1) && other.err.contains("error: 403 "), "{other:?}");
    assert_eq!(ask(&client, &["send", "turbines", "pump-1/motor", message]).code, Some(0));
    let other = ask(&client, &["send", "turbines", "pump-12/motor", message]);
    assert!(other.code == Some(1) && other.err.contains("error: 403 "), "{other:?}");
    assert_eq!(ask(&admin, &["twins", "get", "turbines", "site-1/7"]).code, Some(0));
    let unknown = ask("tf_nobody", &["twins", "list", "turbines"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("error: 401 "), "{unknown:?}");
    assert!(!unknown.err.contains("tf_nobody"), "{unknown:?}");

    let revoked = run(dir, &["keys", "revoke", &devices]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let is_refused = |_: &usize| {
        let sent = ask(&device, &["send", "turbines", "site-1/7", message]);
        sent.err.contains("error: 401 ")
    };
    assert!((0..1000).find(is_refused).is_some(), "a second is shorter than so many requests");
    let again = run(dir, &["keys", "revoke", &devices]);
    assert_eq!(again.code, Some(1), "{again:?}");
    let (code, said) = server.stop();
    assert_eq!(code, Some(0), "{said}");
    let log = audited(dir);
    let events: Vec<_> = log.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "keys create",
            "keys create",
            "keys create",
            "GET /v1/twins/turbines",
            "keys revoke",
            "POST /v1/twins/turbines/site-1%2F7/messages"
        ]
    );
    let everything = format!("{log:?}{said}");
    for key in [&admin, &device, &client] {
        assert!(!everything.contains(key.as_str()), "{everything}");
    }
}

fn audited(dir: &Path) -> Vec<Value> {
    let path = dir.join("state/audit.log");
    assert_eq!(fs::metadata(&path).expect("a log").mode() & 0o777, 0o600);
    let text = fs::read_to_string(path).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

#[test]
fn s7_keys_that_others_can_read_or_that_have_no_file_are_78() {
    let unnamed = directory(FILE);
    let ended = run(unnamed.path(), &["keys", "create", "--role", "read"]);
    assert!(ended.code == Some(78) && ended.err.contains("keys_file"), "{ended:?}");
    let dir = directory(&with_keys());
    let dir = dir.path();
    create(dir, &["--role", "read"]);
    fs::set_permissions(dir.join("keys.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    for arguments in [&["run"][..], &["keys", "list"], &["keys", "create", "--role", "read"]] {
        let ended = run(dir, arguments);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.err.contains("other users could use it (mode 0644)"), "{ended:?}");
    }
    assert_eq!(run(dir, &["keys", "create", "--role", "root"]).code, Some(64));
}
