//! Logs that are not what they were: records removed, topics made anew, brokers away.

use twinflow_connectors::link::Condition;

use crate::{
    server,
    stage::{Stage, dataflow, numbers, restarted, take, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn law_d3_a_gap_of_retention_is_counted_and_said_and_reading_goes_on() {
    let stage = Stage::new(2).await;
    stage.put(0, "a", 0..3);
    let kafka = stage.kafka(|_| {});
    let before = dataflow(&kafka);
    let session = before.run(kafka);
    take(&before, 3).await;
    session.stopped().await;
    stage.put(0, "a", 3..10);
    stage.far.remove_before(&stage.topic, 0, 7).await;
    let next = restarted(&before);
    let session = next.run(stage.kafka(|_| {}));
    assert_eq!(numbers(&take(&next, 3).await), [7, 8, 9]);
    assert_eq!(next.slot.report.lost_messages(), 4);
    let note = next.slot.report.note().unwrap();
    assert!(note.contains("has lost offsets 3 to 6"), "{note}");
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_d3_a_position_beyond_the_end_fails_the_connection() {
    let stage = Stage::new(1).await;
    stage.put(0, "a", 0..10);
    let kafka = stage.kafka(|_| {});
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    take(&dataflow, 10).await;
    let kafka = session.stopped().await;
    stage.far.remake_topic(&stage.topic).await;
    stage.put(0, "a", 0..4);
    let rule = "a position beyond the end is for a person";
    let (_, result) = dataflow.run(kafka).ended(rule).await;
    let error = result.unwrap_err();
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("at offset 10") && text.contains("ends at 4"), "{text}");
    assert!(text.contains("made anew"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_under_a_session_fails_it_by_its_position() {
    let stage = Stage::new(1).await;
    stage.put(0, "a", 0..10);
    let kafka = stage.kafka(|_| {});
    let dataflow = dataflow(&kafka);
    let mut session = dataflow.run(kafka);
    take(&dataflow, 10).await;
    stage.far.remake_topic(&stage.topic).await;
    // Whatever the client makes of it first, the next sessions tell.
    let rule = "the session notices that its log has gone";
    let error = loop {
        let (kafka, result) = session.ended(rule).await;
        let error = result.unwrap_err();
        if !error.is_retryable() {
            break error;
        }
        session = dataflow.run(kafka);
    };
    assert!(error.to_string().contains("made anew"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_27_a_broker_that_is_away_at_the_start_is_waited_for() {
    let (stage, way) = (Stage::new(1).await, server::way());
    stage.put(0, "a", 0..2);
    way.refuse(true);
    let kafka = stage.kafka(|settings| {
        settings.brokers = vec![way.address().to_string()];
        settings.connect_timeout_ms = 60_000;
    });
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    let connecting = |now: &Condition| matches!(now, Condition::Connecting(_));
    let text = until(&dataflow, "it says that it waits", connecting).await;
    assert_eq!(text, format!("waits for a broker of {}", way.address()));
    assert!(dataflow.slot.report.is_unreached());
    way.refuse(false);
    assert_eq!(numbers(&take(&dataflow, 2).await), [0, 1], "nothing is lost");
    assert!(!dataflow.slot.report.is_unreached() && !session.is_over());
    session.stopped().await;
}
