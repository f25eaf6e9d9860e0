//! What goes out: confirmed when it has arrived, and until then handed out again.

use tokio::time::timeout;

use super::{Dataflow, ReceivedFeedback, Upstream};
use crate::{Connector, link::FeedbackId};

/// Feedback arrives in order and unchanged, and is confirmed with `sent` once it has.
pub async fn confirms_feedback_that_arrived<U: Upstream>(upstream: &mut U) {
    let rule = "feedback is confirmed once it has arrived (law D6)";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    let names = upstream.names();
    let ids: Vec<_> =
        (0..3).map(|index| dataflow.hand(index, names.clone(), &text(index))).collect();
    for (index, id) in (0..).zip(&ids) {
        expect(&arrival(upstream, rule).await, index, *id, rule);
    }
    dataflow.until(rule, |slot| slot.unconfirmed() == 0).await;
    let confirmed = dataflow.slot.take_confirmations().confirmed;
    assert_eq!(confirmed.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids, "{rule}");
    session.stopped().await;
}

/// Feedback that the upstream has not confirmed is not confirmed to the engine, and comes again
/// with the same id after a reconnect. Checked where the upstream can withhold confirmations.
pub async fn hands_unconfirmed_feedback_out_again<U: Upstream>(upstream: &mut U) {
    let rule = "unconfirmed feedback comes again with the same id (law D6)";
    if !upstream.withhold_confirmations(true).await {
        return;
    }
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    let ids = [0, 1].map(|index| dataflow.hand(index, upstream.names(), &text(index)));
    expect(&arrival(upstream, rule).await, 0, ids[0], rule);
    upstream.settle().await;
    assert_eq!(dataflow.slot.unconfirmed(), 2, "{rule}: nothing is confirmed on trust");
    upstream.cut().await;
    let connector = session.broken().await;
    // What arrived before the cut may lie there still.
    upstream.withhold_confirmations(false).await;
    let session = dataflow.run(connector);
    dataflow.until(rule, |slot| slot.unconfirmed() == 0).await;
    let mut last = arrival(upstream, rule).await;
    let mut came = vec![last.payload.clone()];
    while last.payload != text(1) || came.len() < 2 {
        last = arrival(upstream, rule).await;
        came.push(last.payload.clone());
    }
    expect(&last, 1, ids[1], rule);
    assert!(came.contains(&text(0)), "{rule}: the one that had arrived before comes again too");
    assert!(dataflow.slot.has_confirmations());
    session.stopped().await;
}

fn text(index: u32) -> Vec<u8> {
    format!("\"command {index}\"").into_bytes()
}

async fn arrival<U: Upstream>(upstream: &mut U, rule: &str) -> ReceivedFeedback {
    let arrived = timeout(upstream.patience(), upstream.next_feedback()).await;
    arrived.unwrap_or_else(|_| panic!("{rule}: no feedback arrives"))
}

fn expect(arrived: &ReceivedFeedback, index: u32, id: FeedbackId, rule: &str) {
    assert_eq!(arrived.payload, text(index), "{rule}: order and payload");
    assert_eq!(arrived.twin, "twin-0", "{rule}: the twin");
    if let Some(shown) = &arrived.id {
        assert_eq!(*shown, id.to_string(), "{rule}: the id");
    }
}
