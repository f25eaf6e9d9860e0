//! What comes in, in which order, and when it is acknowledged.

use std::collections::HashMap;

use super::{Dataflow, SeenRow, Upstream, acknowledged_exactly, messages, payload};
use crate::{
    Connector,
    link::Slot,
    message::limits::{DELIVERY_BYTES_MAX, DELIVERY_ROWS_MAX, QUEUE_BYTES_MAX, QUEUE_ROWS_MAX},
    row::RowKind,
};

/// Every message arrives, once, with its twin and its payload unchanged.
pub async fn delivers_everything<U: Upstream>(upstream: &mut U) {
    let rule = "delivers everything";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    upstream.send(messages(7, 0..60)).await;
    let mut rows = Vec::new();
    // Taken and acknowledged piece by piece, so that a small window can turn.
    while rows.len() < 60 {
        let piece = dataflow.take(rule, 1).await;
        dataflow.acknowledge(newest(&piece));
        rows.extend(piece);
    }
    upstream.settle().await;
    rows.extend(dataflow.take_now());
    let mut seen: Vec<_> = rows.into_iter().map(|row| (row.twin, row.payload)).collect();
    let mut sent = messages(7, 0..60);
    seen.sort();
    sent.sort();
    assert_eq!(seen, sent, "{rule}: each message once and unchanged");
    acknowledged_exactly(upstream, 60, rule).await;
    session.stopped().await;
}

/// The messages of one twin arrive in the order in which they were sent.
pub async fn keeps_order_per_twin<U: Upstream>(upstream: &mut U) {
    let rule = "keeps the order of each twin";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    upstream.send(messages(3, 0..30)).await;
    let session = dataflow.run(connector);
    upstream.send(messages(3, 30..60)).await;
    let mut of_twin: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
    let mut count = 0;
    while count < 60 {
        let piece = dataflow.take(rule, 1).await;
        count += piece.len();
        dataflow.acknowledge(newest(&piece));
        for row in piece {
            of_twin.entry(row.twin).or_default().push(row.payload);
        }
    }
    for twin in 0..3 {
        let sent: Vec<_> = (0..60).filter(|number| number % 3 == twin).map(payload).collect();
        assert_eq!(of_twin.get(&format!("twin-{twin}")), Some(&sent), "{rule}");
    }
    session.stopped().await;
}

/// Nothing is acknowledged before the engine says so, and then everything up to what it says.
pub async fn acknowledges_only_what_it_is_told<U: Upstream>(upstream: &mut U) {
    let rule = "acknowledges what it is told and nothing before";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    upstream.send(messages(1, 0..4)).await;
    let first = dataflow.take(rule, 4).await;
    upstream.send(messages(1, 4..10)).await;
    let second = dataflow.take(rule, 6).await;
    acknowledged_exactly(upstream, 0, "nothing is acknowledged when it is taken").await;
    dataflow.acknowledge(newest(&first));
    acknowledged_exactly(upstream, 4, rule).await;
    dataflow.acknowledge(newest(&second));
    acknowledged_exactly(upstream, 10, rule).await;
    session.stopped().await;
}

/// While the link is full the session goes on: keep-alive, feedback out; then everything arrives.
pub async fn keeps_running_while_the_link_is_full<U: Upstream>(upstream: &mut U) {
    let rule = "keeps running while the link is full (law F5)";
    let (count, size) = upstream.flood();
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    let flood = (0..count).map(|number| (format!("twin-{number}"), vec![b'1'; size])).collect();
    upstream.send(flood).await;
    dataflow.until("the flood fills the link", is_full).await;
    let id = dataflow.hand(0, upstream.names(), b"brake");
    let arrival = tokio::time::timeout(upstream.patience(), upstream.next_feedback()).await;
    let arrived = arrival.unwrap_or_else(|_| panic!("{rule}: feedback does not leave"));
    assert_eq!(arrived.payload, b"brake", "{rule}: the payload of feedback is unchanged");
    dataflow.until("feedback is confirmed while the link is full", Slot::has_confirmations).await;
    assert_eq!(dataflow.slot.take_confirmations().confirmed[0].id, id);
    if !upstream.keep_alive().is_zero() {
        tokio::time::sleep(upstream.keep_alive()).await;
    }
    assert!(!session.is_over(), "{rule}: the session ended");
    let mut came = 0;
    while came < count {
        let piece = dataflow.take(rule, 1).await;
        assert!(piece.iter().all(|row| row.kind == RowKind::Message), "{rule}: nothing is cut");
        dataflow.acknowledge(newest(&piece));
        came += piece.len();
    }
    acknowledged_exactly(upstream, count as u64, rule).await;
    session.stopped().await;
}

fn is_full(slot: &Slot) -> bool {
    let (_, rows, bytes) = slot.queued();
    rows + DELIVERY_ROWS_MAX > QUEUE_ROWS_MAX || bytes + DELIVERY_BYTES_MAX > QUEUE_BYTES_MAX
}

/// The receipt of the newest of some rows.
pub(super) fn newest(rows: &[SeenRow]) -> crate::link::Receipt {
    rows.last().expect("a row was taken").receipt
}
