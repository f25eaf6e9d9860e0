//! NDJSON: many twins in one request.

use serde_json::json;
use twinflow_connectors::{answer::StoredAnswer, link::OutcomeKind, rest::Rest};

use crate::{
    client::{post, post_with},
    fake::Fake,
};

const PATH: &str = "/v1/messages";

#[tokio::test]
async fn every_line_has_its_result_in_order() {
    let fake = Fake::start().await;
    let body = concat!(
        "{\"model\":\"m\",\"twin\":\"a\",\"payload\":{\"x\": 1}}\n",
        "\r\n",
        "{\"model\":\"n\",\"twin\":\"b\",\"id\":\"own\",\"time\":1700000000000,\"payload\":2}\r\n",
        "{\"model\":\"m\",\"twin\":\"a\",\"payload\":3,}\n",
        "{\"model\":\"x\",\"twin\":\"a\",\"payload\":4}\n",
        "{\"model\":\"m\",\"twin\":\"\",\"payload\":5}\n",
        "{\"model\":\"m\",\"twin\":\"a\",\"time\":\"yesterday\",\"payload\":6}\n",
        "{\"model\":\"m\",\"twin\":\"a\\u0062\",\"payload\":7}",
    );
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "k")];
    let answer = post_with(fake.address, PATH, &headers, body);
    let arrived = fake.take().await;
    assert_eq!(arrived.payloads(), ["{\"x\": 1}", "2", "7"]);
    let ids: Vec<_> = arrived.rows.iter().map(|row| row.id.clone().unwrap()).collect();
    assert_eq!(ids, ["k#0", "own", "k#6"]);
    let (b, ab) = (&arrived.rows[1], &arrived.rows[2]);
    assert_eq!((b.model, b.time, &*ab.twin), (1, Some(1_700_000_000_000_000), "ab"));
    fake.rejected(&arrived, 1, 9, "broke");
    fake.feedback(0, Some(arrived.receipt), "ab", "\"hello\"");
    fake.acknowledge(&arrived, 4);
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    let lines = answer.lines();
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 500, 400, 404, 400, 400, 200]);
    assert!(lines.iter().enumerate().all(|(at, line)| line["index"] == at));
    assert_eq!(lines[0], json!({"index": 0, "status": 200, "epoch": 4, "replies": []}));
    assert_eq!(lines[1]["dead_letter"], 9);
    let reason = lines[2]["reason"].as_str().unwrap();
    assert!(reason.contains("line 4 column 37"), "{reason}");
    assert_eq!(lines[6]["replies"], json!(["hello"]));
    fake.unconfirmed(0, 0).await;
}

#[tokio::test]
async fn replies_of_a_twin_stand_with_its_last_applied_message() {
    let fake = Fake::start().await;
    let line = |twin: &str, n| format!("{{\"model\":\"m\",\"twin\":\"{twin}\",\"payload\":{n}}}\n");
    let body = [line("a", 1), line("b", 2), line("a", 3), line("a", 4), line("a", 5)].concat();
    let answer = post(fake.address, PATH, body);
    let arrived = fake.take().await;
    fake.outcome(&arrived, 0, OutcomeKind::Merged);
    fake.rejected(&arrived, 3, 1, "no");
    let stored = StoredAnswer::applied(2).encode();
    fake.outcome(&arrived, 4, OutcomeKind::Repeated(stored));
    fake.feedback(0, Some(arrived.receipt), "a", "1");
    fake.feedback(0, Some(arrived.receipt), "somebody-else", "2");
    fake.acknowledge(&arrived, 4);
    let lines = answer.await.unwrap().lines();
    let replies: Vec<_> = lines.iter().map(|line| line["replies"].clone()).collect();
    assert_eq!(replies, [json!([]), json!([]), json!([1]), json!(null), json!([])]);
    assert_eq!((&lines[0]["merged"], &lines[4]["epoch"]), (&json!(true), &json!(2)));
    // What belongs to no line waits for its own twin.
    fake.unconfirmed(0, 1).await;
    let path = "/v1/twins/m/somebody-else/feedback";
    assert_eq!(crate::client::get(fake.address, path).await.status, 200);
}

#[tokio::test]
async fn a_large_body_is_several_deliveries_on_one_slot() {
    let fake = Fake::with(Rest::listen("127.0.0.1:0"), 2).await;
    let line = |n| format!("{{\"model\":\"m\",\"twin\":\"t{}\",\"payload\":{n}}}\n", n % 5);
    let body: String = (0..5000).map(line).collect();
    let answer = post(fake.address, PATH, body);
    let (first, second) = (fake.take().await, fake.take().await);
    assert_eq!((first.rows.len(), second.rows.len()), (4096, 904));
    assert_eq!(first.slot, second.slot);
    let sent: Vec<_> = first.payloads().into_iter().chain(second.payloads()).collect();
    assert!(sent.iter().enumerate().all(|(at, payload)| *payload == at.to_string()));
    fake.acknowledge(&second, 2);
    let lines = answer.await.unwrap().lines();
    assert_eq!(lines.len(), 5000);
    assert!(lines.iter().enumerate().all(|(at, line)| line["index"] == at && line["epoch"] == 2));
}

#[tokio::test]
async fn what_is_not_committed_in_time_is_a_504_line() {
    let fake = Fake::with(Rest::listen("127.0.0.1:0").wait_ms(200), 1).await;
    let line = |n| format!("{{\"model\":\"m\",\"twin\":\"t\",\"payload\":{n}}}\n");
    let body: String = (0..4097).map(line).collect();
    let answer = post(fake.address, PATH, body);
    let first = fake.take().await;
    fake.acknowledge(&first, 1);
    let lines = answer.await.unwrap().lines();
    assert_eq!((&lines[4095]["status"], &lines[4096]["status"]), (&json!(200), &json!(504)));
}

#[tokio::test]
async fn s18_limits_of_lines_hold_for_the_whole_request() {
    let rest = Rest::listen("127.0.0.1:0").with(|settings| {
        (settings.lines_max, settings.line_bytes_max) = (2, 50);
    });
    let fake = Fake::with(rest, 1).await;
    let line = "{\"model\":\"m\",\"twin\":\"t\",\"payload\":1}\n";
    post(fake.address, PATH, line.repeat(3)).await.unwrap().problem(413, "too-many-messages");
    let long = format!("{line}{}", line.replace('1', &"1".repeat(20)));
    let detail = post(fake.address, PATH, long).await.unwrap().problem(413, "message-too-large");
    assert!(detail.starts_with("line 2 has"), "{detail}");
    assert!(fake.try_take().is_none(), "nothing of it was delivered");
    post(fake.address, PATH, " \n").await.unwrap().problem(400, "no-messages");
    let answer = post(fake.address, PATH, line.repeat(2));
    let arrived = fake.take().await;
    fake.acknowledge(&arrived, 1);
    assert_eq!(answer.await.unwrap().lines().len(), 2, "the limit itself is allowed");
}
