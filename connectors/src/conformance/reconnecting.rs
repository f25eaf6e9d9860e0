//! What a reconnect brings back, and what it never does.

use super::{
    Dataflow, Sent, Upstream, acknowledged_exactly, delivering::newest, messages, payload,
};
use crate::Connector;

/// After a reconnect exactly what was neither acknowledged nor, where positions are kept, taken
/// comes again, in order, before anything newer.
pub async fn redelivers_what_was_not_acknowledged<U: Upstream>(upstream: &mut U) {
    let rule = "redelivers what was not acknowledged, and only that";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    upstream.send(messages(1, 0..3)).await;
    let first = dataflow.take(rule, 3).await;
    dataflow.acknowledge(newest(&first));
    acknowledged_exactly(upstream, 3, rule).await;
    upstream.send(messages(1, 3..10)).await;
    if upstream.is_replayable() {
        // Delivered and not taken: discarded with the link (law S2).
        dataflow.until(rule, |slot| slot.queued().1 == 7).await;
    } else {
        dataflow.take(rule, 7).await;
    }
    upstream.cut().await;
    let session = dataflow.run(session.broken().await);
    upstream.send(messages(1, 10..12)).await;
    let again = dataflow.take(rule, 9).await;
    let payloads: Vec<_> = again.iter().map(|row| row.payload.clone()).collect();
    assert_eq!(payloads, (3..12).map(payload).collect::<Vec<_>>(), "{rule}");
    dataflow.acknowledge(newest(&again));
    acknowledged_exactly(upstream, 12, rule).await;
    session.stopped().await;
}

/// An acknowledgement from before a reconnect acknowledges nothing after it.
pub async fn ignores_acknowledgements_of_an_earlier_session<U: Upstream>(upstream: &mut U) {
    let rule = "a receipt of an earlier session acknowledges nothing in a later one";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    upstream.send(messages(1, 0..5)).await;
    let old = dataflow.take(rule, 5).await;
    upstream.cut().await;
    let session = dataflow.run(session.broken().await);
    upstream.send(messages(1, 5..6)).await;
    let comes = if upstream.is_replayable() { 1 } else { 6 };
    let new = dataflow.take(rule, comes).await;
    assert_eq!(new.len(), comes, "{rule}: what was taken of a replayable source is not repeated");
    dataflow.acknowledge(newest(&old));
    acknowledged_exactly(upstream, 0, rule).await;
    dataflow.acknowledge(newest(&new));
    acknowledged_exactly(upstream, 6, rule).await;
    session.stopped().await;
}

/// A replayable connector goes on behind the position that was taken, in this generation, and
/// behind the stored one in the next (laws S2, D3). Others have nothing to check.
pub async fn opens_behind_the_taken_position<U: Upstream>(upstream: &mut U) {
    if !upstream.is_replayable() {
        return;
    }
    let rule = "no row of a taken position is delivered again (law S2)";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    upstream.send(messages(4, 0..20)).await;
    dataflow.take(rule, 20).await;
    upstream.cut().await;
    let session = dataflow.run(session.broken().await);
    upstream.send(messages(4, 20..24)).await;
    assert_eq!(came(&dataflow, rule, 4).await, messages(4, 20..24), "{rule}");
    let connector = session.stopped().await;
    drop(connector);

    let rule = "a stored position always wins (law D3)";
    let connector = upstream.connector();
    let next = Dataflow::new(connector.info(), upstream.patience());
    for position in dataflow.positions() {
        next.slot.restore_position(position);
    }
    let session = next.run(connector);
    upstream.send(messages(4, 24..28)).await;
    assert_eq!(came(&next, rule, 4).await, messages(4, 24..28), "{rule}");
    session.stopped().await;
}

/// What came, in the order of the numbers; partitions may come in any.
async fn came(dataflow: &Dataflow, rule: &str, count: usize) -> Vec<Sent> {
    let rows = dataflow.take(rule, count).await;
    let mut came: Vec<_> = rows.into_iter().map(|row| (row.twin, row.payload)).collect();
    came.sort_by_key(|(_, payload)| (payload.len(), payload.clone()));
    came
}
