//! What is done to twins, as events over HTTP.

use super::*;

/// One answer of events, read event by event.
struct Stream<'s> {
    site: &'s Site,
    body: Body,
}

impl<'s> Stream<'s> {
    fn of(site: &'s Site, path: &str) -> Self {
        Self::open(site, path).expect("it is let in")
    }

    fn open(site: &'s Site, path: &str) -> Option<Self> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let runtime = site.engine.as_ref().unwrap().runtime();
        let response = runtime.block_on(site.router.clone().oneshot(request)).unwrap();
        if response.status() != StatusCode::OK {
            return None;
        }
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Some(Self { site, body: response.into_body() })
    }

    fn next(&mut self) -> (String, Value) {
        let runtime = self.site.engine.as_ref().unwrap().runtime();
        let frame = runtime.block_on(self.body.frame()).expect("the engine runs");
        let (kind, _epoch, data) = event_of(&frame.unwrap().into_data().unwrap());
        (kind, data)
    }
}

#[test]
fn each_call_is_told_with_its_messages_and_what_they_changed() {
    let site = Site::new();
    let mut stream = Stream::of(&site, "/v1/twins/counters/a/calls");
    let listening = json!({ "model": "counters", "twin": "a" });
    assert_eq!(stream.next(), ("listening".into(), listening));
    // Of another twin nothing is told.
    site.post("/v1/twins/counters/b/messages", "{}");
    let epoch = site.post("/v1/twins/counters/a/messages", "[{},{}]").json["epoch"].clone();
    let (kind, call) = stream.next();
    assert_eq!(kind, "call");
    assert_eq!((&call["twin"], &call["epoch"]), (&json!("a"), &epoch));
    assert_eq!((&call["before"], &call["after"]), (&Value::Null, &json!({ "count": 2 })));
    assert_eq!((&call["calls"], &call["feedback"]), (&json!(1), &json!([])));
    assert_eq!(call["messages"].as_array().unwrap().len(), 2);
    assert_eq!(call["messages"][0]["payload"], json!({}));
    assert_eq!(call["messages"][0]["connection"], json!("web"));
    assert_eq!(call.get("missed"), None);

    // Not applied: the reason stands at the message.
    site.post("/v1/twins/counters/a/messages", r#"{"bad":true}"#);
    let (_, call) = stream.next();
    assert_eq!(call["messages"][0]["failed"], json!("a bad one"));
    assert_eq!(call["before"], call["after"]);
    site.post("/v1/twins/counters/a/messages", r#"{"bad":7}"#);
    let failed = stream.next().1["messages"][0]["failed"].clone();
    assert!(failed.as_str().unwrap().contains("invalid type"), "{failed}");

    site.send("DELETE", "/v1/twins/counters/a");
    let (_, call) = stream.next();
    assert_eq!((&call["before"], &call["after"]), (&json!({ "count": 2 }), &Value::Null));
    assert_eq!(call["messages"], json!([]));
}

#[test]
fn all_twins_of_a_model_are_told_of_until_the_engine_stops() {
    let mut site = Site::new();
    let mut stream = Stream::of(&site, "/v1/calls/counters");
    assert_eq!(stream.next().0, "listening");
    for twin in ["a", "b"] {
        site.post(&format!("/v1/twins/counters/{twin}/messages"), "{}");
        // A read is no call.
        site.get(&format!("/v1/twins/counters/{twin}"));
        assert_eq!(stream.next().1["twin"], json!(twin));
    }
    let mut body = stream.body;
    let engine = site.engine.take().unwrap();
    let runtime = engine.runtime().clone();
    let stopping = std::thread::spawn(move || engine.stop().unwrap());
    assert!(runtime.block_on(body.frame()).is_none(), "the stream ends with the engine");
    stopping.join().unwrap();
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let site = Site::new();
    let unknown = site.get("/v1/calls/countres");
    assert_problem(&unknown, 404, "unknown-model");
    assert_eq!(unknown.json["models"], json!(["counters"]));
    assert_problem(&site.get("/v1/twins/countres/a/calls"), 404, "unknown-model");
    let streams: Vec<_> = (0..64).map(|_| Stream::of(&site, "/v1/calls/counters")).collect();
    assert_problem(&site.get("/v1/calls/counters"), 503, "listeners");
    drop(streams);
    // Who has gone makes room, as soon as his task sees it.
    while Stream::open(&site, "/v1/calls/counters").is_none() {
        std::thread::yield_now();
    }
    let id = "x".repeat(257);
    assert_problem(&site.get(&format!("/v1/twins/counters/{id}/calls")), 400, "twin-id");
}
