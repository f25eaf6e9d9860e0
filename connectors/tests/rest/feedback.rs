//! Feedback that no answer took.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use twinflow_connectors::rest::Rest;

use crate::{
    client::{Answer, call, get, post},
    fake::Fake,
};

const PATH: &str = "/v1/twins/m/t/feedback";

async fn acknowledge(fake: &Fake, through: &str) -> Answer {
    let body = json!({ "through": through }).to_string();
    call(fake.address, "POST", "/v1/twins/m/t/feedback/ack", &[], &body).await
}

fn payloads(answer: &Answer) -> Vec<serde_json::Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let list = answer.json()["feedback"].as_array().unwrap().clone();
    list.into_iter().map(|entry| entry["payload"].clone()).collect()
}

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json()["feedback"].as_array().unwrap().clone();
    list.into_iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn case_24_fetched_feedback_comes_again_until_it_is_acknowledged() {
    let fake = Fake::start().await;
    assert_eq!(get(fake.address, PATH).await.status, 204);
    fake.feedback(0, None, "t", "1");
    fake.feedback(0, None, "t", "{\"two\":2}");
    fake.feedback(0, None, "other", "3");
    let long_poll = format!("{PATH}?wait_secs=20");
    let mut both = get(fake.address, &long_poll).await;
    while payloads(&both).len() < 2 {
        both = get(fake.address, &long_poll).await;
    }
    assert_eq!(payloads(&both), [json!(1), json!({"two": 2})]);
    let again = get(fake.address, PATH).await;
    assert_eq!(again.text, both.text);
    assert_eq!(fake.slots[0].unconfirmed(), 3);
    assert_eq!(acknowledge(&fake, &ids(&both)[1]).await.status, 204);
    assert_eq!(get(fake.address, PATH).await.status, 204);
    fake.unconfirmed(0, 1).await;
}

#[tokio::test]
async fn a_fetch_waits_for_the_first_message_and_takes_no_more_than_it_wants() {
    let fake = Fake::start().await;
    let fetch = tokio::spawn({
        let address = fake.address;
        async move { get(address, &format!("{PATH}?wait_secs=20&max=1")).await }
    });
    get(fake.address, PATH).await;
    assert!(!fetch.is_finished());
    fake.feedback(0, None, "t", "1");
    fake.feedback(0, None, "t", "2");
    let one = fetch.await.unwrap();
    assert_eq!(payloads(&one), [json!(1)]);
    acknowledge(&fake, &ids(&one)[0]).await;
    fake.unconfirmed(0, 1).await;
    assert_eq!(payloads(&get(fake.address, PATH).await), [json!(2)]);
}

#[tokio::test]
async fn acknowledging_what_was_never_handed_out_confirms_nothing() {
    let fake = Fake::start().await;
    fake.feedback(0, None, "t", "1");
    assert_eq!(acknowledge(&fake, "1-5-0").await.status, 204);
    acknowledge(&fake, "what").await.problem(400, "feedback-id");
    let body = "{\"thru\":\"1-5-0\"}";
    let wrong = call(fake.address, "POST", "/v1/twins/m/t/feedback/ack", &[], body).await;
    wrong.problem(400, "bad-json");
    assert_eq!(payloads(&get(fake.address, &format!("{PATH}?wait_secs=20")).await), [json!(1)]);
}

#[tokio::test]
async fn law_p7_feedback_of_a_caller_that_has_gone_waits_for_a_fetch() {
    let fake = Fake::start().await;
    let mut stream = TcpStream::connect(fake.address).await.unwrap();
    let head = "POST /v1/twins/m/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n";
    stream.write_all(format!("{head}\r\n1").as_bytes()).await.unwrap();
    let arrived = fake.take().await;
    // One message is already in the waiting answer, one comes after the caller has gone.
    fake.feedback(0, Some(arrived.receipt), "t", "1");
    get(fake.address, PATH).await;
    stream.shutdown().await.unwrap();
    let mut nothing = Vec::new();
    stream.read_to_end(&mut nothing).await.unwrap();
    assert_eq!(nothing, b"", "the server saw the end and answered nothing");
    let path = format!("{PATH}?wait_secs=20");
    assert_eq!(payloads(&get(fake.address, &path).await), [json!(1)], "before the commit's end");
    fake.feedback(0, Some(arrived.receipt), "t", "2");
    fake.acknowledge(&arrived, 1);
    let mut both = get(fake.address, &path).await;
    while payloads(&both).len() < 2 {
        both = get(fake.address, &path).await;
    }
    assert_eq!(payloads(&both), [json!(1), json!(2)]);
    assert_eq!(fake.slots[0].unconfirmed(), 2);
}

#[tokio::test]
async fn a_late_commit_leaves_its_feedback_for_a_fetch() {
    let fake = Fake::with(Rest::listen("127.0.0.1:0").wait_ms(50), 1).await;
    let answer = post(fake.address, "/v1/twins/m/t/messages", "1").await.unwrap();
    answer.problem(504, "outcome-unknown");
    let arrived = fake.take().await;
    assert_eq!(arrived.payloads(), ["1"], "it is processed all the same");
    fake.feedback(0, Some(arrived.receipt), "t", "\"late\"");
    fake.acknowledge(&arrived, 1);
    let late = get(fake.address, &format!("{PATH}?wait_secs=20")).await;
    assert_eq!(payloads(&late), [json!("late")]);
}

#[tokio::test]
async fn a_drain_ends_waiting_fetches_and_still_hands_out() {
    let fake = Fake::start().await;
    let fetch = tokio::spawn({
        let address = fake.address;
        async move { get(address, &format!("{PATH}?wait_secs=300")).await }
    });
    let answer = post(fake.address, "/v1/twins/m/t/messages", "1");
    let arrived = fake.take().await;
    fake.slots[0].drain();
    assert_eq!(fetch.await.unwrap().status, 204);
    let refused = post(fake.address, "/v1/twins/m/t/messages", "2").await.unwrap();
    refused.problem(503, "draining");
    assert!(refused.retry_after() >= 1);
    fake.feedback(0, None, "t", "1");
    fake.acknowledge(&arrived, 1);
    assert_eq!(answer.await.unwrap().status, 200, "what was taken is answered");
    assert_eq!(payloads(&get(fake.address, PATH).await), [json!(1)]);
}

#[tokio::test]
async fn law_p7_an_answer_that_was_not_written_out_confirms_nothing() {
    let fake = Fake::start().await;
    let mut stream = TcpStream::connect(fake.address).await.unwrap();
    let head = "POST /v1/twins/m/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n";
    stream.write_all(format!("{head}\r\n1").as_bytes()).await.unwrap();
    let arrived = fake.take().await;
    // More than the buffers of both sockets hold.
    let large = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    for _ in 0..24 {
        fake.feedback(0, Some(arrived.receipt), "t", &large);
    }
    fake.acknowledge(&arrived, 1);
    let mut start = [0; 15];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    get(fake.address, PATH).await;
    assert_eq!(fake.slots[0].unconfirmed(), 24, "confirmed before it was written");
    drop(stream);
    let one = get(fake.address, &format!("{PATH}?wait_secs=20&max=1")).await;
    assert_eq!(payloads(&one).len(), 1);
    assert_eq!(fake.slots[0].unconfirmed(), 24);
}
