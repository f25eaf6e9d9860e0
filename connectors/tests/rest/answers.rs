//! One message or an array for one twin.

use serde_json::json;
use twinflow_connectors::{
    answer::StoredAnswer,
    link::OutcomeKind,
    rest::Rest,
    route::{bucket, owner, twin_hash},
};

use crate::{
    client::{get, post, post_http2, post_with},
    fake::Fake,
};

const PATH: &str = "/v1/twins/m/t/messages";

#[tokio::test]
async fn law_d1_nothing_is_answered_before_the_acknowledgement() {
    let fake = Fake::start().await;
    let answer = post(fake.address, PATH, " {\"a\": 1.50}\n");
    let arrived = fake.take().await;
    assert_eq!(arrived.payloads(), ["{\"a\": 1.50}"], "the exact bytes");
    fake.feedback(0, Some(arrived.receipt), "t", "\"brake\"");
    // A later request is answered completely meanwhile.
    get(fake.address, "/v1/twins/m/t/feedback").await;
    assert!(!answer.is_finished());
    fake.acknowledge(&arrived, 9);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let text = r#"{"applied":1,"replies":["brake"],"failed":[],"epoch":9}"#;
    assert_eq!(answer.text, text);
    assert!(answer.kept);
    fake.unconfirmed(0, 0).await;
    assert_eq!(get(fake.address, "/v1/twins/m/t/feedback").await.status, 204);
}

#[tokio::test]
async fn an_array_is_one_delivery_in_order_with_items_for_failures() {
    let fake = Fake::start().await;
    let answer = post(fake.address, PATH, "[1, {\"b\" :2},\n\"three\",[4]]");
    let arrived = fake.take().await;
    assert_eq!(arrived.payloads(), ["1", "{\"b\" :2}", "\"three\"", "[4]"]);
    fake.rejected(&arrived, 2, 77, "it broke");
    fake.feedback(0, Some(arrived.receipt), "t", "{\"r\":1}");
    fake.feedback(0, Some(arrived.receipt), "t", "plain");
    fake.acknowledge(&arrived, 3);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200);
    let failed = json!([{"index": 2, "dead_letter": 77, "reason": "it broke"}]);
    let wanted =
        json!({"applied": 3, "replies": [{"r": 1}, "plain"], "failed": failed, "epoch": 3});
    assert_eq!(answer.json(), wanted);
}

#[tokio::test]
async fn a_single_failed_message_is_500_with_its_dead_letter() {
    let fake = Fake::start().await;
    let answer = post(fake.address, PATH, "1");
    let arrived = fake.take().await;
    fake.rejected(&arrived, 0, 4, "the bearing is \"hot\"");
    fake.acknowledge(&arrived, 2);
    let answer = answer.await.unwrap();
    assert_eq!(answer.problem(500, "failed"), "the bearing is \"hot\"");
    assert_eq!(answer.json()["dead_letter"], 4);
}

#[tokio::test]
async fn law_p7_a_merged_request_says_so() {
    let fake = Fake::start().await;
    let (first, arrived) = (post(fake.address, PATH, "1"), fake.take().await);
    let (second, later) = (post(fake.address, PATH, "2"), fake.take().await);
    fake.outcome(&arrived, 0, OutcomeKind::Merged);
    fake.feedback(0, Some(later.receipt), "t", "7");
    fake.acknowledge(&later, 5);
    let text = r#"{"applied":1,"replies":[],"failed":[],"epoch":5,"merged":true}"#;
    assert_eq!(first.await.unwrap().text, text);
    assert_eq!(second.await.unwrap().json()["replies"], json!([7]));
}

#[tokio::test]
async fn an_array_whose_messages_share_a_call_is_not_merged() {
    let fake = Fake::start().await;
    let answer = post(fake.address, PATH, "[1,2]");
    let arrived = fake.take().await;
    fake.outcome(&arrived, 0, OutcomeKind::Merged);
    fake.feedback(0, Some(arrived.receipt), "t", "7");
    fake.acknowledge(&arrived, 5);
    let text = r#"{"applied":2,"replies":[7],"failed":[],"epoch":5}"#;
    assert_eq!(answer.await.unwrap().text, text);
}

#[tokio::test]
async fn a_repeated_key_gives_the_stored_answer() {
    let fake = Fake::start().await;
    let key = [("idempotency-key", "k-1")];
    let first = post_with(fake.address, PATH, &key, "[1,2]");
    let arrived = fake.take().await;
    let ids: Vec<_> = arrived.rows.iter().map(|row| row.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["k-1#0", "k-1#1"]);
    fake.feedback(0, Some(arrived.receipt), "t", "{\"n\": 1e2}");
    fake.rejected(&arrived, 0, 3, "no");
    fake.acknowledge(&arrived, 5);
    let first = first.await.unwrap();

    let again = post_with(fake.address, PATH, &key, "[1,2]");
    let arrived = fake.take().await;
    let rejected = StoredAnswer::rejected(5, 3, "no").encode();
    fake.outcome(&arrived, 0, OutcomeKind::Repeated(rejected));
    let mut stored = StoredAnswer::applied(5);
    stored.push_reply(b"{\"n\": 1e2}");
    fake.outcome(&arrived, 1, OutcomeKind::Repeated(stored.encode()));
    fake.acknowledge(&arrived, 8);
    assert_eq!(again.await.unwrap().text, first.text);
}

#[tokio::test]
async fn a_key_in_progress_is_409_and_with_another_body_422() {
    let fake = Fake::start().await;
    let key = [("idempotency-key", "k")];
    for (kind, status, problem) in [
        (OutcomeKind::KeyInProgress, 409, "key-in-progress"),
        (OutcomeKind::KeyOtherBody, 422, "key-other-body"),
    ] {
        let answer = post_with(fake.address, PATH, &key, "1");
        let arrived = fake.take().await;
        fake.outcome(&arrived, 0, kind);
        fake.acknowledge(&arrived, 2);
        answer.await.unwrap().problem(status, problem);
    }
}

#[tokio::test]
async fn acknowledging_the_second_answers_the_first_too() {
    let fake = Fake::start().await;
    let (first, _) = (post(fake.address, PATH, "1"), fake.take().await);
    let (second, later) = (post(fake.address, PATH, "2"), fake.take().await);
    let (third, _) = (post(fake.address, PATH, "3"), fake.take().await);
    fake.acknowledge(&later, 4);
    assert_eq!(first.await.unwrap().json()["epoch"], 4);
    assert_eq!(second.await.unwrap().json()["epoch"], 4);
    assert!(!third.is_finished());
}

#[tokio::test]
async fn a_message_goes_to_the_slot_of_its_twins_worker() {
    let fake = Fake::with(Rest::listen("127.0.0.1:0"), 4).await;
    let mut used = std::collections::HashSet::new();
    for number in 0..12 {
        let twin = format!("twin-{number}/\u{fc}");
        let path = format!("/v1/twins/m/twin-{number}%2F%C3%BC/messages");
        let answer = post(fake.address, &path, "1");
        let arrived = fake.take().await;
        let worker = owner(bucket(twin_hash(twin.as_bytes())), 4);
        assert_eq!((arrived.rows[0].twin.as_str(), arrived.owners[0]), (&*twin, worker as u32));
        assert_eq!(fake.slots[arrived.slot].place.worker, worker, "not exchanged");
        used.insert(worker);
        fake.acknowledge(&arrived, 1);
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert!(used.len() > 1);
}

#[tokio::test]
async fn http2_is_spoken_too() {
    let fake = Fake::start().await;
    let answer = post_http2(fake.address, PATH, "1");
    let arrived = fake.take().await;
    fake.feedback(0, Some(arrived.receipt), "t", "8");
    fake.acknowledge(&arrived, 1);
    assert_eq!(answer.await.unwrap().json()["replies"], json!([8]));
    fake.unconfirmed(0, 0).await;
}
