//! Live views over HTTP.

use super::*;
use crate::{EngineBuilder, View};

/// How many counters there are by the first letter of their ids, and what they have counted.
pub(super) fn add(builder: EngineBuilder) -> EngineBuilder {
    let letter = |id: &str, _: &Count| id.chars().next().map(String::from);
    let count = |_: &str, counter: &Count| counter.count as f64;
    builder
        .view(View::count("letters", "counters", letter))
        .view(View::average("means", "counters", letter, count))
}

/// Asks until the view has everything up to this epoch.
fn view_of(site: &Site, name: &str, epoch: u64) -> Value {
    loop {
        let answer = site.get(&format!("/v1/views/{name}"));
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        if answer.json["epoch"].as_u64().unwrap() >= epoch {
            return answer.json;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_view_is_read_with_its_epoch() {
    let site = Site::new();
    assert_eq!(site.get("/v1/views").json, json!({ "views": ["letters", "means"] }));
    let mut epoch = 0;
    for (id, body) in [("a1", "[{},{}]"), ("a2", "{}"), ("b", "{}")] {
        let answer = site.post(&format!("/v1/twins/counters/{id}/messages"), body);
        epoch = answer.json["epoch"].as_u64().unwrap();
    }
    let view = view_of(&site, "means", epoch);
    assert_eq!((&view["view"], &view["model"]), (&json!("means"), &json!("counters")));
    assert_eq!((&view["kind"], &view["left_out"]), (&json!("average"), &json!(0)));
    let a = json!({ "group": "a", "count": 2, "sum": 3.0, "average": 1.5 });
    let b = json!({ "group": "b", "count": 1, "sum": 1.0, "average": 1.0 });
    assert_eq!(view["groups"], json!([a, b]));
    assert_eq!(site.send("DELETE", "/v1/twins/counters/b").status, StatusCode::OK);
    while view_of(&site, "letters", 0)["groups"] != json!([{ "group": "a", "count": 2 }]) {
        std::thread::yield_now();
    }
    let unknown = site.get("/v1/views/lettres");
    assert_problem(&unknown, 404, "view");
    assert_eq!(unknown.json["views"], json!(["letters", "means"]));
    assert_problem(&site.get("/v1/views/lettres/changes"), 404, "view");
}

#[test]
fn the_changes_of_a_view_come_as_events_until_the_engine_stops() {
    let mut site = Site::new();
    let first = site.post("/v1/twins/counters/a/messages", "{}").json["epoch"].as_u64().unwrap();
    view_of(&site, "letters", first);
    let runtime = site.engine.as_ref().unwrap().runtime().clone();
    let request = Request::get("/v1/views/letters/changes").body(Body::empty()).unwrap();
    let response = runtime.block_on(site.router.clone().oneshot(request)).unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let next = |body: &mut Body| {
        let frame = runtime.block_on(body.frame())?;
        let (kind, epoch, data) = event_of(&frame.unwrap().into_data().unwrap());
        assert_eq!(data["epoch"].to_string(), epoch);
        Some((kind, data["groups"].clone()))
    };
    let a = json!([{ "group": "a", "count": 1 }]);
    assert_eq!(next(&mut body), Some(("view".into(), a)));
    site.post("/v1/twins/counters/b/messages", "{}");
    let b = json!([{ "group": "b", "count": 1 }]);
    assert_eq!(next(&mut body), Some(("changed".into(), b)));
    site.send("DELETE", "/v1/twins/counters/a");
    let gone = json!([{ "group": "a", "count": 0 }]);
    assert_eq!(next(&mut body), Some(("changed".into(), gone)));
    let engine = site.engine.take().unwrap();
    let stopping = std::thread::spawn(move || engine.stop().unwrap());
    assert_eq!(next(&mut body), None, "the stream ends with the engine");
    stopping.join().unwrap();
}
