//! Keys and roles: every route with every role, what is noted, and what is not said.

use std::{fs, path::Path};

use tempfile::TempDir;
use twinflow_connectors::rest::access::{Access, Need, Role, Route, edit, new_key};

use super::*;
use crate::server::audit::{Audit, FILE};

/// A site with a key of each role, and with bound ones.
struct Keyed {
    site: Site,
    dir: TempDir,
}

fn key(number: u8, role: Role) -> String {
    new_key([number; 37], role, Vec::new(), String::new()).0
}

fn key_of(role: Role) -> String {
    key(Role::ALL.iter().position(|one| *one == role).unwrap() as u8, role)
}

const BOUND_TO_MODEL: (u8, Role) = (11, Role::Operate);
const BOUND_TO_TWINS: (u8, Role) = (12, Role::Operate);

impl Keyed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys.toml");
        let entry = |number: u8, role, model: &str, twins: &str| {
            new_key([number; 37], role, vec![model.into()], twins.into()).1
        };
        edit(&file, |keys| {
            keys.extend(Role::ALL.iter().zip(0..).map(|(role, n)| entry(n, *role, "*", "*")));
            keys.push(entry(BOUND_TO_MODEL.0, BOUND_TO_MODEL.1, "counters", "*"));
            keys.push(entry(BOUND_TO_TWINS.0, BOUND_TO_TWINS.1, "*", "site-1/*"));
            Ok(())
        })
        .unwrap();
        let audit = Arc::new(Audit::new(&dir.path().join("state")));
        let noted = Arc::clone(&audit);
        let on_failed = Arc::new(move |failed| noted.login_failed(&failed));
        let access = Arc::new(Access::open(&file, 10_000, on_failed).unwrap());
        let settings =
            ApiSettings { access: Some(access), audit: Some(audit), ..Default::default() };
        let keyed = Self { site: Site::with(settings), dir };
        while keyed.ask("POST", MESSAGES, Some(&key_of(Role::Ingest))).status == 503 {
            std::thread::yield_now();
        }
        keyed
    }

    fn ask(&self, method: &str, path: &str, key: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = if method == "POST" { Body::from("{}") } else { Body::empty() };
        self.site.ask(request.body(body).unwrap())
    }

    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("state").join(FILE));
        let text = text.unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const MESSAGES: &str = "/v1/twins/counters/a/messages";

/// Every route, with a path that can be asked for.
fn all_routes() -> impl Iterator<Item = (Route, String)> {
    table::routes().chain(ROUTES).map(|route| {
        let path = route.path.replace("{model}", "counters").replace("{name}", "web");
        (route, path.replace("{id}", "7"))
    })
}

#[test]
fn s10_every_route_with_every_role() {
    let keyed = Keyed::new();
    let mut asked = 0;
    for (route, path) in all_routes() {
        for role in Role::ALL {
            // The connection may not be gone while messages are asked for.
            if path.ends_with("/pause") && role.may(route.need) {
                continue;
            }
            let answer = keyed.ask(route.method, &path, Some(&key_of(role)));
            let refused = answer.status == 401 || answer.status == 403;
            assert_eq!(!refused, role.may(route.need), "{role:?} {path}: {}", answer.text);
            if refused {
                assert_problem(&answer, 403, "role");
            }
            asked += 1;
        }
    }
    assert!(asked > 80, "{asked}");
    // What roles are for, said once more and by hand.
    for (method, path, may) in [
        ("GET", "/v1/twins/counters", "--"),
        ("GET", "/v1/twins/counters", "read operate admin"),
        ("GET", "/metrics", "read operate admin"),
        ("DELETE", "/v1/twins/counters/7", "operate admin"),
        ("POST", "/v1/connections/web/resume", "operate admin"),
        ("POST", MESSAGES, "ingest admin"),
        ("POST", "/v1/messages", "ingest admin"),
        ("GET", "/livez", "ingest read operate admin"),
    ]
    .into_iter()
    .filter(|(_, _, may)| *may != "--")
    {
        for role in Role::ALL {
            let forbidden = keyed.ask(method, path, Some(&key_of(role))).status == 403;
            assert_eq!(forbidden, !may.contains(role.name()), "{role:?} {method} {path}");
        }
    }
}

#[test]
fn s10_without_a_key_only_life_and_readiness_are_told() {
    let keyed = Keyed::new();
    let open: Vec<_> = all_routes().filter(|(route, _)| route.need == Need::Open).collect();
    assert_eq!(open.len(), 5);
    for (route, path) in open {
        assert_eq!(keyed.ask(route.method, &path, None).status, 200, "{path}");
        assert_eq!(keyed.ask("HEAD", &path, Some("tf_wrong")).status, 200, "{path}");
    }
    let told = keyed.ask("GET", "/readyz", None).json;
    assert_eq!(told, json!({ "ready": true }));
    let told = keyed.ask("GET", "/readyz", Some(&key_of(Role::Read))).json;
    assert_eq!(told, json!({ "ready": true, "reasons": [], "warnings": [] }));

    let closed = all_routes().filter(|(route, _)| route.need != Need::Open);
    let others = [("PATCH", "/metrics"), ("GET", "/nothing"), ("GET", "/v1/twins/a/b/c")];
    let others = others.map(|(method, path)| (method, path.to_owned()));
    let mut statuses = Vec::new();
    for (method, path) in closed.map(|(route, path)| (route.method, path)).chain(others) {
        let answer = keyed.ask(method, &path, None);
        let kind = if answer.status == 401 { "key" } else { "logins" };
        assert_problem(&answer, answer.status.as_u16(), kind);
        for inside in ["counters", "web", "nothing"] {
            assert!(!answer.text.contains(inside), "{}", answer.text);
        }
        statuses.push(answer.status.as_u16());
    }
    // One address asks, and five answers a minute are enough.
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[5..].iter().all(|status| *status == 429), "{statuses:?}");
    assert_eq!(keyed.log().iter().filter(|line| line["event"] == "login").count(), 5);
}

#[test]
fn s11_a_bound_key_sees_its_own_and_hears_no_other_names() {
    let keyed = Keyed::new();
    let (model, twins) = (key(11, BOUND_TO_MODEL.1), key(12, BOUND_TO_TWINS.1));
    for (key, path, expected) in [
        (&model, "/v1/twins/counters", 200),
        (&model, "/v1/twins/counters/a", 200),
        (&model, "/v1/twins/others", 403),
        (&model, "/v1/twins/others/a", 403),
        (&model, "/v1/connections", 403),
        (&model, "/v1/dead-letters", 403),
        (&model, "/metrics", 403),
        (&model, "/", 403),
        (&twins, "/v1/twins/counters", 403),
        (&twins, "/v1/twins/counters/a", 403),
        (&twins, "/v1/twins/counters/site-1%2Fa", 404),
        (&twins, "/v1/twins/counters/site-1%2F..%2F..%2Fa", 404),
        (&twins, "/v1/twins/counters/%ff", 403),
    ] {
        let answer = keyed.ask("GET", path, Some(key));
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        if expected == 403 {
            assert_problem(&answer, 403, "binding");
            assert!(!answer.text.contains("counters"), "{}", answer.text);
        }
    }
    assert_eq!(keyed.ask("DELETE", "/v1/twins/counters/a", Some(&twins)).status, 403);
    assert_eq!(keyed.ask("DELETE", "/v1/twins/counters/a", Some(&model)).status, 200);
}

#[test]
fn s30_each_change_is_one_line_whether_it_was_allowed_or_not() {
    let keyed = Keyed::new();
    assert_eq!(keyed.log().len(), 0, "messages and reads are no lines");
    let mut expected = Vec::new();
    for (route, path) in all_routes() {
        for role in Role::ALL {
            if path.ends_with("/pause") && role.may(route.need) {
                continue;
            }
            let key = key_of(role);
            let answer = keyed.ask(route.method, &path, Some(&key));
            if route.need.is_audited() {
                let what = format!("{} {path}", route.method);
                expected.push(json!({
                    "event": "request", "what": what, "who": key.split('_').nth(1),
                    "role": role.name(), "outcome": answer.status.as_u16().to_string(),
                    "id": answer.json.get("id").cloned()
                        .filter(|id| id.as_str().is_some_and(|id| id.starts_with("t-"))),
                }));
            }
        }
    }
    let log = keyed.log();
    assert_eq!(log.len(), expected.len());
    for (mut line, mut expected) in log.into_iter().zip(expected) {
        line.as_object_mut().unwrap().remove("time").unwrap();
        // A good answer has its id in a header only.
        if expected["id"].is_null() {
            expected["id"] = line["id"].clone();
        }
        assert_eq!(line, expected);
    }
    let text = fs::read_to_string(keyed.dir.path().join("state").join(FILE)).unwrap();
    assert!(!text.contains("tf_"), "no key stands in it");
}

#[test]
fn s30_without_keys_changes_are_noted_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Some(Arc::new(Audit::new(dir.path())));
    let site = Site::with(ApiSettings { audit, ..Default::default() });
    assert_eq!(site.get("/v1/twins/counters").status, 200);
    assert_eq!(site.send("PUT", "/v1/twins/counters/a").status, 201);
    let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\"what\":\"PUT /v1/twins/counters/a\",\"outcome\":\"201\""), "{text}");
}

#[test]
fn s10_there_is_no_way_around_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tables = ["src/server/api/table.rs", "connectors/src/rest/routes.rs"];
    let mut seen = 0;
    for folder in ["src/server/api", "connectors/src/rest", "src/server"] {
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let file = file.unwrap().path();
            let text = fs::read_to_string(&file).unwrap_or_default();
            let name = file.strip_prefix(root).unwrap().display().to_string();
            let adds = text.contains(".route(") || text.contains(".route_service(");
            assert_eq!(adds, tables.contains(&name.as_str()), "{name} adds a route");
            seen += usize::from(adds);
        }
    }
    assert_eq!(seen, tables.len());
}
