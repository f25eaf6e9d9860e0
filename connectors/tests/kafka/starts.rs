//! Where a session begins: by `start` where no position is stored, else at the position (law D3).

use std::time::Duration;

use twinflow_connectors::{
    kafka::{KafkaSettings, KafkaStart},
    link::Condition,
};

use crate::{
    server,
    stage::{
        Stage, acknowledge, dataflow, numbers, restarted, take, take_now, until, until_reading,
    },
};

async fn first_of(stage: &Stage, change: impl FnOnce(&mut KafkaSettings)) -> u32 {
    let kafka = stage.kafka(change);
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    let rows = take(&dataflow, 1).await;
    session.stopped().await;
    numbers(&rows)[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn start_counts_only_where_no_position_is_stored() {
    let stage = Stage::new(1).await;
    stage.put(0, "a", 0..5);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    let middle = u64::try_from(since_epoch.as_millis()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stage.put(0, "a", 5..10);
    assert_eq!(first_of(&stage, |_| {}).await, 0, "earliest is the default");
    let at_time = |settings: &mut KafkaSettings| {
        settings.start = KafkaStart::Timestamp;
        settings.start_timestamp_ms = Some(middle);
    };
    assert_eq!(first_of(&stage, at_time).await, 5);

    // What is acknowledged is the group's; with another store that is all there is.
    let kafka = stage.kafka(|_| {});
    let before = dataflow(&kafka);
    let session = before.run(kafka);
    let rows = take(&before, 10).await;
    acknowledge(&before, &rows);
    stage.until_committed(&[10]).await;
    session.stopped().await;
    stage.put(0, "a", 10..12);
    let committed = |settings: &mut KafkaSettings| settings.start = KafkaStart::Committed;
    assert_eq!(first_of(&stage, committed).await, 10);
    assert_eq!(first_of(&stage, |settings| settings.group = "nobody".into()).await, 0);

    // A stored position always wins.
    let next = restarted(&before);
    let session = next.run(stage.kafka(|settings| settings.start = KafkaStart::Latest));
    assert_eq!(numbers(&take(&next, 2).await), [10, 11]);
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_does_not_skip_what_comes_during_a_reconnect() {
    let (stage, way) = (Stage::new(1).await, server::way());
    stage.put(0, "a", 0..5);
    let kafka = stage.kafka(|settings| {
        settings.brokers = vec![way.address().to_string()];
        settings.start = KafkaStart::Latest;
    });
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    until_reading(&dataflow).await;
    way.refuse(true);
    way.cut();
    let kafka = session.broken().await;
    stage.put(0, "a", 5..8);
    way.refuse(false);
    let session = dataflow.run(kafka);
    assert_eq!(numbers(&take(&dataflow, 3).await), [5, 6, 7]);
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_noticed_and_read_from_their_start() {
    let stage = Stage::new(1).await;
    let kafka = stage.kafka(|settings| settings.start = KafkaStart::Latest);
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    until_reading(&dataflow).await;
    stage.far.grow(&stage.topic, 3).await;
    // A writer of its own: the other one knows one partition still.
    let far = crate::place::Far::new(&server::shared().bootstrap());
    for (partition, number) in [(2, b"7"), (2, b"8"), (0, b"1")] {
        far.put(&stage.topic, Some(partition), Some(b"b"), Some(number), &[]);
    }
    far.flush();
    let mut came = numbers(&take(&dataflow, 3).await);
    came.sort_unstable();
    assert_eq!(came, [1, 7, 8]);
    session.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_is_read_then() {
    let stage = Stage::new(1).await;
    let late = crate::place::name("late");
    let kafka = stage.kafka(|settings| settings.topics[0].topic.clone_from(&late));
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    let degraded = |now: &Condition| matches!(now, Condition::Degraded(_));
    let text = until(&dataflow, "the topic is not there", degraded).await;
    assert_eq!(text, format!("topic \"{late}\" does not exist; it is read once it does"));
    stage.far.make_topic(&late, 2, &[]).await;
    stage.far.put(&late, Some(1), Some(b"a"), Some(b"1"), &[]);
    stage.far.flush();
    assert_eq!(numbers(&take(&dataflow, 1).await), [1]);
    until(&dataflow, "all is well", |now| *now == Condition::Running).await;
    assert_eq!(take_now(&dataflow.slot).len(), 0);
    session.stopped().await;
}
