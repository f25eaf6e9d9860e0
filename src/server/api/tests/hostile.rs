//! Names that are meant as paths of files, and errors that tell nothing of the inside.

use std::{collections::BTreeSet, path::Path};

use twinflow_connectors::rest::access::Route;

use super::*;
use crate::server::audit::Audit;

/// What people write who hope that a name becomes a path.
const NAMES: [&str; 14] = [
    "..",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "file:///etc/passwd",
    "state/../../canary.txt",
    "../canary.txt",
    "canary.txt\0.json",
    "%2e%2e%2fcanary.txt",
    "..;/canary.txt",
    "\u{2025}/canary.txt",
    "C:\\Windows\\win.ini",
    "~root",
];

/// The name as one segment of a path, encoded once and twice, and as it is where that is a path.
fn segments(name: &str) -> Vec<String> {
    let once = crate::server::client::segment(name);
    let twice = crate::server::client::segment(&once);
    let raw = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\%".contains(&byte));
    [once, twice].into_iter().chain(raw.then(|| name.to_owned())).collect()
}

fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(root).unwrap().display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn s24_s26_no_name_becomes_a_path_and_errors_carry_an_id_and_nothing_inside() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("canary.txt"), "canary-of-a-file").unwrap();
    let state = root.path().join("state");
    let rest = Rest::mounted();
    let engine = Engine::builder()
        .model("counters", Counter)
        .connection("web", rest.clone())
        .state_dir(&state)
        .workers(1)
        .start()
        .unwrap();
    let audit = Some(Arc::new(Audit::new(&state)));
    let settings =
        ApiSettings { run: "t".into(), takes_messages: true, audit, ..Default::default() };
    let api = Api::new(settings);
    api.started(engine.handle());
    let router = router(&api, Some(rest.router()));
    let site = Site { engine: Some(engine), api, router };
    site.post("/v1/twins/counters/a/messages", "{}");
    assert_eq!(site.send("PUT", "/v1/twins/counters/b").status, 201);
    let before = files(root.path());
    let inside = root.path().display().to_string();
    let mut asked = 0;
    for Route { method, path, .. } in table::routes().chain(ROUTES) {
        for segment in NAMES.into_iter().flat_map(segments) {
            for parameter in ["{model}", "{id}", "{name}"] {
                if !path.contains(parameter) {
                    continue;
                }
                let uri = path.replace(parameter, &segment).replace("{model}", "counters");
                let uri = uri.replace("{id}", "a").replace("{name}", "web");
                let body = Body::from("{\"through\":\"../../canary.txt\"}");
                let request = Request::builder().method(method).uri(&uri).body(body).unwrap();
                let answer = site.ask(request);
                asked += 1;
                for secret in ["canary-of-a-file", "root:", &inside, "src/", ".rs:", "panicked"] {
                    assert!(!answer.text.contains(secret), "{method} {uri}: {}", answer.text);
                }
                if answer.status.is_client_error() || answer.status.is_server_error() {
                    let form = &answer.headers[header::CONTENT_TYPE];
                    assert_eq!(form, "application/problem+json", "{method} {uri}");
                    assert!(answer.json["id"].is_string(), "{method} {uri}: {}", answer.text);
                }
                let status = answer.status.as_u16();
                assert!(status < 500 || status == 501, "{method} {uri}: {}", answer.text);
            }
        }
    }
    assert!(asked > 500, "{asked}");
    assert_eq!(files(root.path()), before, "no file came or went");
}
