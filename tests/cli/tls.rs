//! A server with TLS, asked by the program's own verbs.

use std::{fs, path::Path};

use twinflow_servers::Authority;

use crate::program::{Ended, FILE, Server, directory, run};

const SERVER: &str = "subjectAltName=IP:127.0.0.1";

fn with_tls(more: &str) -> String {
    let tls = format!(
        "[server]\nkeys_file = \"keys.toml\"\n\
         tls = {{ cert_file = \"server.pem\", key_file = \"server.key\"{more} }}\n"
    );
    FILE.replacen("[server]\n", &tls, 1)
}

fn ask(dir: &Path, server: &Server, arguments: &[&str]) -> Ended {
    let url = server.url();
    assert!(url.starts_with("https://"), "{url}");
    run(dir, &[&["twins", "list", "turbines", "--server", &url], arguments].concat())
}

#[test]
fn s4_verbs_verify_the_server_and_show_their_key() {
    let dir = directory(&with_tls(""));
    let dir = dir.path();
    let authority = Authority::new(dir, "ca").unwrap();
    Authority::new(dir, "other").unwrap();
    authority.sign("server", SERVER, 2).unwrap();
    let made = run(dir, &["keys", "create", "--role", "read"]);
    let key = made.out.trim();
    let server = Server::start(dir);
    assert!(server.said.contains("its certificate runs out soon"), "{}", server.said);
    let good = ask(dir, &server, &["--key", key, "--ca-file", "ca.pem"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let no_key = ask(dir, &server, &["--ca-file", "ca.pem"]);
    assert!(no_key.code == Some(1) && no_key.err.contains("401"), "{no_key:?}");
    let unknown = ask(dir, &server, &["--key", key, "--ca-file", "other.pem"]);
    assert_eq!(unknown.code, Some(69), "{unknown:?}");
    assert!(unknown.err.contains("UnknownIssuer"), "{unknown:?}");
    let no_file = ask(dir, &server, &["--key", key, "--ca-file", "missing.pem"]);
    assert!(no_file.code == Some(78) && no_file.err.contains("missing.pem"), "{no_file:?}");
    // With the system's authorities this one is not known either, or there are none.
    let system = ask(dir, &server, &["--key", key]);
    assert!(matches!(system.code, Some(69 | 78)), "{system:?}");
    assert_eq!(server.stop().0, Some(0));

    for (extension, days, says) in
        [("subjectAltName=IP:127.9.9.9", 2, "not valid for name"), (SERVER, -1, "xpired")]
    {
        authority.sign("server", extension, days).unwrap();
        let server = Server::start(dir);
        let refused = ask(dir, &server, &["--key", key, "--ca-file", "ca.pem"]);
        assert!(refused.code == Some(69) && refused.err.contains(says), "{refused:?}");
        assert_eq!(server.said.contains("has run out"), days < 0, "{}", server.said);
        assert_eq!(server.stop().0, Some(0));
    }
}

#[test]
fn a_server_that_asks_for_certificates_lets_none_in_without() {
    let dir = directory(&with_tls(", ca_file = \"ca.pem\""));
    let dir = dir.path();
    let authority = Authority::new(dir, "ca").unwrap();
    authority.sign("server", SERVER, 2).unwrap();
    authority.sign("plant", "keyUsage=digitalSignature", 2).unwrap();
    let made = run(dir, &["keys", "create", "--role", "read"]);
    let server = Server::start(dir);
    let base = ["--key", made.out.trim(), "--ca-file", "ca.pem"];
    let with = [&base[..], &["--cert-file", "plant.pem", "--key-file", "plant.key"]].concat();
    let good = ask(dir, &server, &with);
    assert_eq!(good.code, Some(0), "{good:?}");
    let without = ask(dir, &server, &base);
    assert_eq!(without.code, Some(69), "{without:?}");
    assert!(without.err.contains("ertificate"), "{without:?}");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_certificate_that_cannot_be_used_is_78_and_named() {
    let dir = directory(&with_tls(""));
    let dir = dir.path();
    let authority = Authority::new(dir, "ca").unwrap();
    authority.sign("server", SERVER, 2).unwrap();
    assert_eq!(run(dir, &["keys", "create", "--role", "read"]).code, Some(0));
    fs::remove_file(dir.join("server.key")).unwrap();
    for verb in ["run", "validate"] {
        let ended = run(dir, &[verb]);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.err.contains("server.tls") && ended.err.contains("server.key"), "{ended:?}");
    }
}
