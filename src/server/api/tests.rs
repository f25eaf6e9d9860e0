//! The paths, asked through the router with a real engine behind it.

mod calls;
mod hostile;
mod keys;
#[cfg(feature = "live-views")]
mod views;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt;
use twinflow_connectors::rest::Rest;

use super::{events::EVENTS, *};
use crate::{Engine, operators::store::StoreError, prelude::*};

/// Refuses messages whose `bad` is true.
struct Counter;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Count {
    count: u64,
}

#[derive(Deserialize)]
struct Add {
    #[serde(default)]
    bad: bool,
}

impl TwinModel for Count {
    type Message<'m> = Add;
}

impl MessageProcessor for Counter {
    type Model = Count;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut Count,
        messages: Messages<'_, Add>,
    ) -> ProcessingResult {
        if messages.iter().any(|message| message.bad) {
            return Err(ProcessingError::message("a bad one"));
        }
        twin.count += messages.len() as u64;
        Ok(Outcome::Update)
    }
}

/// An engine with one model and a mounted REST connection, and the paths in front of it.
struct Site {
    engine: Option<Engine>,
    api: Api,
    router: Router,
}

impl Site {
    fn new() -> Self {
        Self::with(ApiSettings::default())
    }

    fn with(settings: ApiSettings) -> Self {
        let rest = Rest::mounted();
        let builder = Engine::builder();
        #[cfg(feature = "live-views")]
        let builder = views::add(builder);
        let engine = builder
            .model("counters", Counter)
            .connection("web", rest.clone())
            .memory_store()
            .workers(2)
            .start()
            .unwrap();
        let settings = ApiSettings { run: "t".into(), takes_messages: true, ..settings };
        let api = Api::new(settings);
        api.started(engine.handle());
        let router = router(&api, Some(rest.router()));
        Self { engine: Some(engine), api, router }
    }

    fn ask(&self, request: Request<Body>) -> Answer {
        let engine = self.engine.as_ref().unwrap();
        engine.runtime().block_on(ask(&self.router, request))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
    }

    fn send(&self, method: &str, path: &str) -> Answer {
        self.ask(Request::builder().method(method).uri(path).body(Body::empty()).unwrap())
    }

    /// Posts once the connection is open: it opens by itself, just after the engine has started.
    fn post(&self, path: &str, body: &str) -> Answer {
        loop {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_owned()))
                .unwrap();
            let answer = self.ask(request);
            if answer.json["type"] != "urn:twinflow:problem:starting" {
                return answer;
            }
            std::thread::yield_now();
        }
    }
}

/// Kind, epoch and data of an event.
fn event_of(bytes: &[u8]) -> (String, String, Value) {
    let text = std::str::from_utf8(bytes).unwrap();
    let (kind, rest) = text.strip_prefix("event: ").unwrap().split_once("\nid: ").unwrap();
    let (epoch, data) = rest.split_once("\ndata: ").unwrap();
    let data = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
    (kind.to_owned(), epoch.to_owned(), data)
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
    json: Value,
}

/// Asks, and insists that the document tells of the status that comes.
async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    if let Some(told) = openapi::told(method.as_str(), &path) {
        assert!(told.contains(&status.as_u16()), "{method} {path}: {status} is not in {told:?}");
    }
    let mut body = response.into_body();
    // A stream of events ends with the engine: its first one will do.
    let body = match headers.get(header::CONTENT_TYPE).is_some_and(|it| it == EVENTS) {
        true => body.frame().await.unwrap().unwrap().into_data().unwrap(),
        false => body.collect().await.unwrap().to_bytes(),
    };
    let text = String::from_utf8(body.to_vec()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, json }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(answer.json["type"], format!("urn:twinflow:problem:{kind}"));
    assert_eq!(answer.json["id"], answer.headers["x-request-id"].to_str().unwrap());
}

#[test]
fn a_twin_is_created_read_listed_and_removed() {
    let site = Site::new();
    assert_problem(&site.get("/v1/twins/counters/a"), 404, "unknown-twin");
    let created = site.send("PUT", "/v1/twins/counters/a");
    assert_eq!(created.status, StatusCode::CREATED);
    assert_problem(&site.send("PUT", "/v1/twins/counters/a"), 409, "exists");
    let read = site.get("/v1/twins/counters/a");
    assert_eq!(read.status, StatusCode::OK);
    assert!(read.json["epoch"].is_u64());
    assert_eq!(read.json["committed"], true);
    assert_eq!(read.json["state"], json!({ "count": 0 }));
    let listed = site.get("/v1/twins/counters");
    assert_eq!(listed.json, json!({ "twins": [{ "id": "a" }], "next": null }));
    assert_eq!(site.send("DELETE", "/v1/twins/counters/a").json["removed"], true);
    assert_problem(&site.send("DELETE", "/v1/twins/counters/a"), 404, "unknown-twin");
}

#[test]
fn a_message_is_posted_and_its_state_is_read() {
    let site = Site::new();
    let answer = site.post("/v1/twins/counters/a%2Fb%20%C3%BC/messages", "[{},{}]");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json["applied"], 2);
    let read = site.get("/v1/twins/counters/a%2Fb%20%C3%BC");
    assert_eq!(read.json["id"], "a/b \u{fc}");
    assert_eq!(read.json["state"], json!({ "count": 2 }));
    assert!(read.json["epoch"].as_u64() >= answer.json["epoch"].as_u64());
    let now = site.get("/v1/twins/counters/a%2Fb%20%C3%BC?committed=false");
    assert_eq!((&now.json["committed"], &now.json["epoch"]), (&json!(false), &Value::Null));
    assert_eq!(now.json["state"], json!({ "count": 2 }));
}

#[test]
fn a_list_is_walked_by_its_cursor() {
    let site = Site::new();
    for number in 0..25 {
        assert_eq!(site.send("PUT", &format!("/v1/twins/counters/{number}")).status, 201);
    }
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = site.get(&format!("/v1/twins/counters?limit=10{after}")).json;
        ids.extend(page["twins"].as_array().unwrap().iter().map(|twin| twin["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 25);
}

#[test]
fn bad_requests_are_refused_with_a_problem() {
    let site = Site::new();
    let unknown = site.get("/v1/twins/nothing/a");
    assert_problem(&unknown, 404, "unknown-model");
    assert_eq!(unknown.json["models"], json!(["counters"]));
    let long = format!("/v1/twins/counters/{}", "x".repeat(257));
    assert_problem(&site.get(&long), 400, "twin-id");
    assert_problem(&site.get("/v1/twins/counters/a%0Ab"), 400, "twin-id");
    assert_problem(&site.get("/v1/twins/counters/%FF"), 400, "path");
    assert_problem(&site.get("/v1/twins/counters?limit=0"), 400, "query");
    assert_problem(&site.get("/v1/twins/counters?limit=many"), 400, "query");
    assert_problem(&site.get("/v1/twins/counters?limt=1"), 400, "query");
    assert_problem(&site.get("/v1/twins/counters?after=x"), 400, "cursor");
    assert_problem(&site.get("/v1/twins/counters/a?committed=perhaps"), 400, "query");
    assert_problem(&site.get("/nowhere"), 404, "unknown-path");
    assert_problem(&site.send("POST", "/v1/connections"), 405, "method");
    assert_problem(&site.get("/v1/connections/none"), 404, "unknown-connection");
    assert_problem(&site.get("/v1/dead-letters/7"), 404, "unknown-dead-letter");
    assert_problem(&site.get("/v1/dead-letters/x"), 400, "path");
    for (method, path) in [("POST", "/v1/dead-letters/7/replay"), ("DELETE", "/v1/dead-letters/7")]
    {
        assert_problem(&site.send(method, path), 404, "unknown-dead-letter");
    }
}

#[test]
fn a_dead_letter_is_listed_and_shown_with_its_payload() {
    let site = Site::new();
    let answer = site.post("/v1/twins/counters/a/messages", r#"{"bad":true}"#);
    assert_eq!(answer.status, 500, "{}", answer.text);
    let listed = site.get("/v1/dead-letters").json;
    let letter = &listed["dead_letters"][0];
    assert_eq!(letter["kind"], "failed");
    assert_eq!(letter["twin"], "a");
    assert_eq!(listed["next"], Value::Null);
    let shown = site.get(&format!("/v1/dead-letters/{}", letter["number"])).json;
    assert!(shown["reason"].as_str().unwrap().contains("a bad one"), "{shown}");
    assert_eq!(shown["payload"], r#"{"bad":true}"#);
}

#[test]
fn law_d5_a_dead_letter_that_fails_again_stays_and_a_dropped_one_is_gone() {
    let site = Site::new();
    site.post("/v1/twins/counters/a/messages", r#"{"bad":true}"#);
    let number = site.get("/v1/dead-letters").json["dead_letters"][0]["number"].clone();
    let path = format!("/v1/dead-letters/{number}");
    let again = site.send("POST", &format!("{path}/replay"));
    assert_problem(&again, 500, "twin-failed");
    assert_eq!(again.json["dead_letter"], number);
    let detail = again.json["detail"].as_str().unwrap();
    assert!(detail.contains("a bad one"), "{detail}");
    let listed = site.get("/v1/dead-letters").json;
    assert_eq!(listed["dead_letters"].as_array().unwrap().len(), 1, "{listed}");

    let dropped = site.send("DELETE", &path);
    assert_eq!(dropped.status, 200, "{}", dropped.text);
    assert_eq!(dropped.json["outcome"], "dropped");
    assert_problem(&site.get(&path), 404, "unknown-dead-letter");
    assert_problem(&site.send("DELETE", &path), 404, "unknown-dead-letter");
    assert_problem(&site.send("POST", &format!("{path}/replay")), 404, "unknown-dead-letter");
}

#[test]
fn a_connection_is_shown_paused_and_resumed() {
    let site = Site::new();
    site.post("/v1/twins/counters/a/messages", "{}");
    let listed = site.get("/v1/connections").json;
    assert_eq!(listed["connections"][0]["name"], "web");
    assert_eq!(listed["connections"][0]["received"], 1);
    let paused = site.send("POST", "/v1/connections/web/pause");
    assert_eq!(paused.json, json!({ "connection": "web", "asked": "paused" }));
    while site.get("/v1/connections/web").json["state"] != "paused" {
        std::thread::yield_now();
    }
    assert_eq!(site.send("POST", "/v1/connections/web/resume").status, StatusCode::OK);
    assert_eq!(site.post("/v1/twins/counters/a/messages", "{}").status, StatusCode::OK);
}

#[test]
fn health_says_ready_then_stopping() {
    let mut site = Site::new();
    for alive in ["/livez", "/health", "/ping"] {
        assert_eq!(site.get(alive).text, "ok\n");
    }
    for ready in ["/readyz", "/ready"] {
        let answer = site.get(ready);
        assert_eq!((answer.status, &answer.json["ready"]), (StatusCode::OK, &json!(true)));
    }
    site.api.stopping();
    let answer = site.get("/readyz");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json["reasons"], json!(["the engine is stopping"]));
    let engine = site.engine.take().unwrap();
    engine.stop().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = Request::get("/v1/twins/counters/a").body(Body::empty()).unwrap();
    assert_problem(&runtime.block_on(ask(&site.router, request)), 503, "draining");
}

#[test]
fn before_the_engine_runs_everything_but_life_is_503() {
    let api = Api::new(ApiSettings { run: "t".into(), ..ApiSettings::default() });
    let router = router(&api, None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let get = |path: &str| {
        runtime.block_on(ask(&router, Request::get(path).body(Body::empty()).unwrap()))
    };
    assert_eq!(get("/livez").status, StatusCode::OK);
    assert_eq!(get("/readyz").json["reasons"], json!(["the engine is starting"]));
    for path in ["/v1/twins/a", "/v1/connections", "/v1/dead-letters", "/metrics"] {
        let answer = get(path);
        assert_problem(&answer, 503, "starting");
        assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    }
}

#[test]
fn the_document_is_served_and_names_paths_of_messages_where_they_are_taken() {
    let site = Site::new();
    let with = site.get("/openapi.json");
    assert_eq!((with.status, &with.json["openapi"]), (StatusCode::OK, &json!("3.1.0")));
    let paths = with.json["paths"].as_object().unwrap();
    let messages = "/v1/twins/{model}/{id}/messages";
    assert_eq!(paths[messages]["post"]["x-roles"], json!(["ingest", "admin"]));
    let api = Api::new(ApiSettings::default());
    let engine = site.engine.as_ref().unwrap();
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let without = engine.runtime().block_on(ask(&router(&api, None), request));
    assert!(!without.json["paths"].as_object().unwrap().contains_key(messages));
}

#[test]
fn metrics_are_open_metrics_text() {
    let site = Site::new();
    site.post("/v1/twins/counters/a/messages", "{}");
    let answer = site.get("/metrics");
    let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    for line in [
        "twinflow_messages_applied_total{model=\"counters\"} 1\n",
        "twinflow_twins{model=\"counters\"} 1\n",
        "twinflow_received_messages_total{connection=\"web\"} 1\n",
        "twinflow_workers 2\n",
    ] {
        assert!(answer.text.contains(line), "{line}{}", answer.text);
    }
    assert!(answer.text.ends_with("# EOF\n"));
}

#[test]
fn a_foreign_host_or_page_is_refused_and_an_id_is_given_back() {
    let site = Site::new();
    for (name, value) in [(header::HOST, "evil.example"), (header::ORIGIN, "http://evil.example")] {
        let request = Request::get("/v1/connections").header(name, value);
        assert_problem(&site.ask(request.body(Body::empty()).unwrap()), 403, "host");
    }
    let request = Request::get("/livez").header("x-request-id", "mine-1");
    let answer = site.ask(request.body(Body::empty()).unwrap());
    assert_eq!(answer.headers["x-request-id"], "mine-1");
    assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[test]
fn the_index_lists_addresses_and_a_wrong_port_names_the_right_one() {
    let site = Site::new();
    let index = site.get("/").text;
    assert!(index.contains("models: counters"), "{index}");
    assert!(index.contains("/v1/twins/{model}/{id}/messages"), "{index}");
    let elsewhere = vec!["127.0.0.1:7701".to_owned()];
    let api = Api::new(ApiSettings { elsewhere, ..ApiSettings::default() });
    let engine = site.engine.as_ref().unwrap();
    api.started(engine.handle());
    let request = Request::post("/v1/twins/counters/a/messages").body(Body::empty()).unwrap();
    let answer = engine.runtime().block_on(ask(&router(&api, None), request));
    assert_problem(&answer, 404, "unknown-path");
    assert_eq!(answer.json["detail"], "messages go to http://127.0.0.1:7701");
}

#[test]
fn s21_a_store_that_stands_still_answers_503() {
    let dir = tempfile::tempdir().unwrap();
    let fail = |error: StoreError| panic!("the log failed: {error}");
    let options = crate::store::LogOptions::new(1, Arc::new(fail));
    let log = crate::store::LocalLog::open(dir.path(), options).unwrap();
    let store = Arc::new(crate::store::HeldStore::new(log));
    let builder = Engine::builder().model("counters", Counter).workers(1);
    let engine = builder.store(crate::StoreChoice::Custom(store.clone())).start().unwrap();
    let api = Api::new(ApiSettings::default());
    api.started(engine.handle());
    let router = router(&api, None);
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        engine.runtime().block_on(ask(&router, request))
    };
    store.hold();
    let waits = engine.runtime().spawn({
        let engine = engine.handle();
        async move { engine.create("counters", "a").await }
    });
    let held = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        !engine.handle().not_ready().is_empty()
    });
    assert!(held, "nobody noticed that the store stands still");
    for (method, path) in [("GET", "/v1/twins/counters/a"), ("PUT", "/v1/twins/counters/b")] {
        let refused = ask(method, path);
        assert_problem(&refused, 503, "held");
        assert!(refused.headers.contains_key(header::RETRY_AFTER), "{method} {path}");
    }
    let ready = ask("GET", "/readyz");
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    store.release();
    assert_eq!(engine.runtime().block_on(waits).unwrap(), Ok(true));
    engine.stop().unwrap();
}
