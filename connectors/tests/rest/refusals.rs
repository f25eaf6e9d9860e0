//! What is refused, and how.

use std::sync::Arc;

use twinflow_connectors::{
    ConfigurableConnector, Connector,
    link::Refused,
    rest::{Rest, RestSettings},
};

use crate::{
    client::{call, get, post, post_with},
    fake::Fake,
};

const PATH: &str = "/v1/twins/m/t/messages";

#[tokio::test]
async fn models_ids_and_paths_are_checked() {
    let rest = Rest::listen("127.0.0.1:0").models(["m", "unheard"]);
    rest.api_address("http://127.0.0.1:7700");
    let fake = Fake::with(rest, 1).await;
    for model in ["x", "n", "unheard"] {
        let path = format!("/v1/twins/{model}/t/messages");
        let answer = post(fake.address, &path, "1").await.unwrap();
        answer.problem(404, "unknown-model");
        assert_eq!(answer.json()["models"], serde_json::json!(["m"]), "{model}");
    }
    assert_eq!(get(fake.address, "/v1/twins/x/t/feedback").await.status, 404);
    let long = format!("/v1/twins/m/{}/messages", "x".repeat(257));
    for path in ["/v1/twins/m/a%00b/messages", "/v1/twins/m/%ff/messages", &long] {
        post(fake.address, path, "1").await.unwrap().problem(400, "twin-id");
    }
    let detail = get(fake.address, "/v1/twins").await.problem(404, "unknown-path");
    assert!(detail.contains("http://127.0.0.1:7700"), "{detail}");
    get(fake.address, PATH).await.problem(405, "method");
    assert!(fake.try_take().is_none());
}

#[tokio::test]
async fn bad_json_is_400_with_its_place() {
    let fake = Fake::start().await;
    for (body, line, column) in
        [("{\"a\":1,\n  b}", 2, 3), ("", 1, 0), ("[1,2", 1, 4), ("1 2", 1, 3), ("nul", 1, 3)]
    {
        let answer = post(fake.address, PATH, body).await.unwrap();
        answer.problem(400, "bad-json");
        let place = (answer.json()["line"].clone(), answer.json()["column"].clone());
        assert_eq!(place, (line.into(), column.into()), "{body:?}: {}", answer.text);
    }
    post(fake.address, PATH, "[]").await.unwrap().problem(400, "no-messages");
    let too_long = "k".repeat(256);
    for key in ["", &too_long] {
        let answer = post_with(fake.address, PATH, &[("idempotency-key", key)], "1").await.unwrap();
        answer.problem(400, "idempotency-key");
    }
    assert!(fake.try_take().is_none());
}

#[tokio::test]
async fn s18_content_of_other_kinds_and_compressed_content_is_415() {
    let fake = Fake::start().await;
    for (header, value, problem) in [
        ("content-type", "text/plain", "content-type"),
        ("content-type", "application/x-www-form-urlencoded", "content-type"),
        // Nothing is ever decompressed, so there is no bomb to guard against.
        ("content-encoding", "gzip", "content-encoding"),
    ] {
        let answer = post_with(fake.address, PATH, &[(header, value)], "1").await.unwrap();
        answer.problem(415, problem);
    }
    let good = [("content-type", "application/vnd.plant+json"), ("content-encoding", "identity")];
    let answer = post_with(fake.address, PATH, &good, "1");
    let arrived = fake.take().await;
    fake.acknowledge(&arrived, 1);
    assert_eq!(answer.await.unwrap().status, 200);
}

#[tokio::test]
async fn s18_a_body_over_the_limit_is_413_and_closes_the_connection() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| settings.body_bytes_max = 1000);
    let fake = Fake::with(rest, 1).await;
    let body = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    let over = post(fake.address, PATH, body(1001)).await.unwrap();
    over.problem(413, "body-too-large");
    assert!(!over.kept);
    let answer = post(fake.address, PATH, body(1000));
    let arrived = fake.take().await;
    assert_eq!(arrived.rows[0].payload.len(), 1000, "the limit itself is allowed");
    fake.acknowledge(&arrived, 1);
    assert!(answer.await.unwrap().kept);
}

#[tokio::test]
async fn s18_a_message_over_one_mebibyte_is_413() {
    let fake = Fake::start().await;
    let body = |len: usize| format!("[1,\"{}\"]", "x".repeat(len - 2));
    let over = post(fake.address, PATH, body((1 << 20) + 1)).await.unwrap();
    assert!(over.problem(413, "message-too-large").starts_with("message 1 has 1048577 bytes"));
    let answer = post(fake.address, PATH, body(1 << 20));
    let (first, second) = (fake.take().await, fake.take().await);
    assert_eq!((first.rows.len(), second.rows[0].payload.len()), (1, 1 << 20));
    fake.acknowledge(&second, 1);
    assert_eq!(answer.await.unwrap().json()["applied"], 2);
}

#[tokio::test]
async fn s21_a_full_link_is_429_after_a_second() {
    let fake = Fake::start().await;
    // Two deliveries, 4,097 rows: no room for another full one.
    let many = format!("[{}]", vec!["1"; 4097].join(","));
    let taken = post(fake.address, PATH, many);
    let waited = async {
        // Until the queue is as full as it gets nobody can say so.
        while fake.slots[0].queued().1 < 4097 {
            tokio::task::yield_now().await;
        }
    };
    waited.await;
    let answer = post(fake.address, PATH, "2").await.unwrap();
    answer.problem(429, "full");
    assert!((1..=30).contains(&answer.retry_after()));
    let (_, second) = (fake.take().await, fake.take().await);
    fake.acknowledge(&second, 1);
    assert_eq!(taken.await.unwrap().json()["applied"], 4097);
    let answer = post(fake.address, PATH, "3");
    let arrived = fake.take().await;
    fake.acknowledge(&arrived, 2);
    assert_eq!(answer.await.unwrap().status, 200);
}

#[tokio::test]
async fn foreign_names_and_pages_are_403() {
    let fake = Fake::start().await;
    for header in
        [("host", "evil.example:7701"), ("origin", "http://evil.example"), ("origin", "null")]
    {
        post_with(fake.address, PATH, &[header], "1").await.unwrap().problem(403, "host");
        let path = "/v1/twins/m/t/feedback";
        call(fake.address, "GET", path, &[header], "").await.problem(403, "host");
    }
    assert!(fake.try_take().is_none());
}

#[tokio::test]
async fn s21_a_held_model_is_503_with_the_reason_and_others_go_on() {
    let fake = Fake::start().await;
    let reason = "its messages keep failing".to_owned();
    fake.edge.refusals.refuse("m", Refused { reason, connection: "web".into() });
    let answer = post(fake.address, PATH, "1").await.unwrap();
    assert_eq!(answer.problem(503, "held"), "its messages keep failing");
    let other = post(fake.address, "/v1/twins/n/t/messages", "1");
    let arrived = fake.take().await;
    fake.acknowledge(&arrived, 1);
    assert_eq!(other.await.unwrap().status, 200);
    fake.edge.refusals.allow("m");
    let answer = post(fake.address, PATH, "1");
    let arrived = fake.take().await;
    fake.acknowledge(&arrived, 2);
    assert_eq!(answer.await.unwrap().status, 200);
}

#[tokio::test]
async fn settings_come_from_a_table_and_tell_the_engine() {
    let mut rest = Rest::from_settings(RestSettings::default()).unwrap();
    assert!(rest.needs_mounting() && rest.bind().unwrap().is_none());
    assert_eq!((rest.slots(3), rest.for_slot(2).is_some()), (3, true));
    let info = rest.info();
    assert!(info.answers);
    assert_eq!(info.dedupe_keep_secs, Some(86_400));
    let beyond = RestSettings { listen: Some("0.0.0.0:1".into()), ..RestSettings::default() };
    let error = Rest::from_settings(beyond).unwrap().bind().unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("neither TLS nor keys"), "{error}");
    let shared = Arc::new(Rest::listen("127.0.0.1:0"));
    let address = shared.bind().unwrap();
    assert_eq!(shared.bind().unwrap(), address, "binding twice keeps the port");
    let taken = Rest::listen(address.unwrap().to_string()).bind().unwrap_err();
    assert!(taken.is_retryable());
    assert!(taken.to_string().contains(&address.unwrap().to_string()), "{taken}");
}
