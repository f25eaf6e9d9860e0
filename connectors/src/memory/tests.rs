//! What the conformance suite does not say of `Memory`: offsets, windows, ends, buffers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::{
    conformance::Dataflow,
    error::ErrorKind,
    link::{Position, Slot},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn dataflow() -> Dataflow {
    Dataflow::new(ConnectorInfo::default(), PATIENCE)
}

fn newest(slot: &Slot) -> crate::link::Receipt {
    slot.receipts().0
}

#[tokio::test]
async fn a_closed_upstream_ends_the_session_once_all_is_acknowledged() {
    for memory in [Memory::replayable(2), Memory::acknowledged(3)] {
        let (broker, dataflow) = (memory.broker(), dataflow());
        for number in 0..3 {
            broker.send("pump", &format!("twin-{number}"), "1");
        }
        broker.close();
        let session = dataflow.run(memory);
        dataflow.take("delivers", 3).await;
        assert!(!session.is_over());
        dataflow.acknowledge(newest(&dataflow.slot));
        session.ended("the upstream has ended").await.1.unwrap();
        assert_eq!((broker.acknowledged(), broker.backlog()), (3, 0));
    }
}

#[tokio::test]
async fn offsets_are_committed_per_partition_also_those_of_an_earlier_session() {
    let memory = Memory::replayable(2);
    let (broker, dataflow) = (memory.broker(), dataflow());
    let to = |partition| MemoryMessage {
        partition: Some(partition),
        ..MemoryMessage::new("pump", "t", "1")
    };
    broker.send_all([to(0), to(1), to(1)]);
    let session = dataflow.run(memory);
    dataflow.take("delivers", 3).await;
    broker.cut();
    let session = dataflow.run(session.broken().await);
    broker.send_with(to(0));
    dataflow.take("goes on", 1).await;
    assert_eq!(broker.committed(), [0, 0]);
    dataflow.acknowledge(newest(&dataflow.slot));
    broker.until(|broker| broker.acknowledged() == 4).await;
    assert_eq!(broker.committed(), [2, 2], "receipts are acknowledged in order");
    session.stopped().await;
}

#[tokio::test]
async fn a_window_turns_with_acknowledgements() {
    let memory = Memory::acknowledged(2);
    let (broker, dataflow) = (memory.broker(), dataflow());
    broker.send_all((0..5).map(|number| MemoryMessage::new("pump", "t", number.to_string())));
    let session = dataflow.run(memory);
    for expected in [["0", "1"].as_slice(), &["2", "3"], &["4"]] {
        let rows = dataflow.take("delivers", expected.len()).await;
        let payloads: Vec<_> = rows.iter().map(|row| row.payload.as_slice()).collect();
        assert_eq!(payloads, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        dataflow.acknowledge(newest(&dataflow.slot));
    }
    broker.until(|broker| broker.acknowledged() == 5).await;
    session.stopped().await;
}

#[tokio::test]
async fn law_d3_a_position_beyond_the_end_is_no_retryable_error() {
    let (memory, dataflow) = (Memory::replayable(1), dataflow());
    dataflow.slot.restore_position(Position { topic: "memory".into(), partition: 0, next: 9 });
    let (_, result) = dataflow.run(memory).ended("ends").await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Rejected);
}

#[test]
fn a_thread_can_wait_for_the_broker() {
    let broker = Memory::acknowledged(1).broker();
    assert!(!broker.wait(Duration::from_millis(1), |broker| broker.backlog() == 1));
    let sender = broker.clone();
    let thread = std::thread::spawn(move || sender.send("pump", "t", "1"));
    assert!(broker.wait(PATIENCE, |broker| broker.backlog() == 1));
    thread.join().unwrap();
}

/// A buffer of `count` messages for `twin-N`, payload `[N]`, N counted from `first`.
fn buffer(first: usize, count: usize) -> MemoryBuffer {
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    let mut put = |text: String| {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(text.as_bytes());
        start..bytes.len() as u32
    };
    for number in first..first + count {
        let (twin, payload) = (put(format!("twin-{number}")), put(format!("[{number}]")));
        messages.push(BufferMessage { twin, payload });
    }
    MemoryBuffer::new(bytes, messages)
}

#[tokio::test]
async fn buffers_arrive_whole_and_in_order_and_say_how_far_they_are() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let mut first =
        Memory::buffers("pump", vec![vec![buffer(0, 9000), buffer(9000, 1000)], vec![]])
            .on_acknowledged(move |partition, up_to| {
                noted.lock().unwrap().push((partition, up_to))
            });
    let progress = first.progress();
    assert_eq!(first.slots(1), 2);
    assert!(first.for_slot(1).is_some() && first.for_slot(2).is_none());
    let dataflow = dataflow();
    let session = dataflow.run(first);
    let mut rows = Vec::new();
    while rows.len() < 10_000 {
        rows.extend(dataflow.take("delivers", 1).await);
        dataflow.acknowledge(rows.last().unwrap().receipt);
    }
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row.payload, format!("[{number}]").as_bytes());
        assert_eq!(row.twin, format!("twin-{number}"));
    }
    session.ended("all is acknowledged").await.1.unwrap();
    progress.until_acknowledged().await;
    assert!(progress.wait_acknowledged(PATIENCE));
    assert_eq!((progress.delivered(), progress.acknowledged()), (10_000, 10_000));
    assert_eq!(told.lock().unwrap().last(), Some(&(0, 10_000)));
}

#[tokio::test]
async fn buffers_go_on_behind_what_was_taken() {
    let (connector, dataflow) = (Memory::buffers("pump", vec![vec![buffer(0, 10)]]), dataflow());
    dataflow.slot.restore_position(Position { topic: "buffers".into(), partition: 0, next: 7 });
    let session = dataflow.run(connector);
    let rows = dataflow.take("delivers", 3).await;
    assert_eq!(rows[0].payload, b"[7]");
    session.stopped().await;
}

/// This one is about time: 30 messages, one each millisecond.
#[tokio::test]
async fn paced_messages_never_come_before_they_are_due() {
    let connector = Memory::buffers("pump", vec![vec![buffer(0, 30)]])
        .paced(|index| Duration::from_millis(10 + index));
    let (progress, dataflow) = (connector.progress(), dataflow());
    let session = dataflow.run(connector);
    let mut came = 0;
    while came < 30 {
        came += dataflow.take("delivers", 1).await.len();
        let elapsed = progress.started().unwrap().elapsed();
        assert!(elapsed >= Duration::from_millis(9 + came as u64), "{came} after {elapsed:?}");
    }
    dataflow.acknowledge(newest(&dataflow.slot));
    session.ended("all is acknowledged").await.1.unwrap();
}
