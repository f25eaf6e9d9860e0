//! While nothing is committed here, no offset moves there, and the session stays (law F5).

use std::time::Duration;

use crate::stage::{Stage, acknowledge, dataflow, numbers, take, take_now};

/// Seconds that the commit is held; `TWINFLOW_TESTS_LONG=1` makes it the 90 of law F5.
fn held_for() -> Duration {
    let long = std::env::var_os("TWINFLOW_TESTS_LONG").is_some();
    Duration::from_secs(if long { 90 } else { 12 })
}

#[tokio::test(flavor = "multi_thread")]
async fn law_f5_a_held_commit_moves_no_offset_and_ends_no_session() {
    let stage = Stage::new(2).await;
    let kafka = stage.kafka(|settings| {
        // A client that were polled too seldom would lose its session in this time.
        settings.client_options.insert("session.timeout.ms".into(), "6000".into());
        settings.client_options.insert("max.poll.interval.ms".into(), "6000".into());
        settings.client_options.insert("heartbeat.interval.ms".into(), "1000".into());
    });
    let dataflow = dataflow(&kafka);
    let session = dataflow.run(kafka);
    stage.put(0, "a", 0..100);
    let first = take(&dataflow, 100).await;
    // And a full link, so that nothing is read either.
    let large = vec![b'1'; 900 << 10];
    for _ in 0..24 {
        stage.far.put(&stage.topic, Some(1), Some(b"b"), Some(&large), &[]);
    }
    stage.far.flush();
    let end = tokio::time::Instant::now() + held_for();
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(stage.committed(), [-1, -1], "nothing is committed while it is held");
        assert!(!session.is_over(), "the session stays");
    }
    assert!(dataflow.slot.queued().2 > 6 << 20, "the link was full");
    assert_eq!(numbers(&first), (0..100).collect::<Vec<_>>());
    acknowledge(&dataflow, &first);
    stage.until_committed(&[100, -1]).await;
    let mut rows = Vec::new();
    dataflow
        .until("everything comes once", |slot| {
            rows.extend(take_now(slot));
            rows.len() == 24
        })
        .await;
    acknowledge(&dataflow, &rows);
    stage.until_committed(&[100, 24]).await;
    assert_eq!(dataflow.slot.statistics.sessions.load(std::sync::atomic::Ordering::Relaxed), 1);
    session.stopped().await;
}
