//! How sessions end, and what they say about it.

use std::error::Error as _;

use super::{Dataflow, Upstream, acknowledged_exactly, delivering::newest, messages, payload};
use crate::{Connector, error::ConnectorError};

/// After `Drain` nothing more is read, what was delivered is still acknowledged, `Stop` returns in
/// time, and what was not read is there for the next session (law F2).
pub async fn drains_and_then_stops<U: Upstream>(upstream: &mut U) {
    let rule = "drain reads no more and finishes acknowledgements (law F2)";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    upstream.send(messages(1, 0..5)).await;
    let rows = dataflow.take(rule, 5).await;
    dataflow.slot.drain();
    upstream.settle().await;
    upstream.send(messages(1, 5..10)).await;
    upstream.settle().await;
    assert_eq!(dataflow.take_now(), [], "{rule}: this was read after the drain");
    assert!(!session.is_over(), "{rule}: the session goes on until it is told to stop");
    dataflow.acknowledge(newest(&rows));
    acknowledged_exactly(upstream, 5, rule).await;
    let connector = session.stopped().await;

    let rule = "what was not read before the stop comes in the next session";
    let session = dataflow.run(connector);
    let rows = dataflow.take(rule, 5).await;
    let payloads: Vec<_> = rows.into_iter().map(|row| row.payload).collect();
    assert_eq!(payloads, (5..10).map(payload).collect::<Vec<_>>(), "{rule}");
    session.stopped().await;
}

/// An upstream that cannot be reached is a retryable error, and works once it can.
pub async fn reports_an_unreachable_upstream_as_retryable<U: Upstream>(upstream: &mut U) {
    let rule = "an unreachable upstream is a retryable error";
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    upstream.send(messages(1, 0..1)).await;
    upstream.set_reachable(false).await;
    let (connector, result) = dataflow.run(connector).ended(rule).await;
    let error = result.expect_err(rule);
    assert!(error.is_retryable(), "{rule}: {error:?}");
    upstream.set_reachable(true).await;
    let session = dataflow.run(connector);
    dataflow.take("the same connector works once its upstream can be reached", 1).await;
    session.stopped().await;
}

/// Credentials that the upstream refuses are no retryable error. Checked where there are any.
pub async fn reports_wrong_credentials_as_permanent<U: Upstream>(upstream: &mut U) {
    let rule = "wrong credentials are not worth another try";
    let Some(connector) = upstream.wrong_credentials() else { return };
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let (_, result) = dataflow.run(connector).ended(rule).await;
    let error = result.expect_err(rule);
    assert!(!error.is_retryable(), "{rule}: {error:?}");
}

/// Neither a secret of the settings nor a payload is part of what `Debug` or an error shows.
pub async fn shows_no_secret<U: Upstream>(upstream: &mut U) {
    let rule = "secrets and payloads are never shown";
    let mut shown = Vec::new();
    let connector = upstream.connector();
    let dataflow = Dataflow::new(connector.info(), upstream.patience());
    let session = dataflow.run(connector);
    let canary = "canary-payload-5d41";
    upstream.send(vec![("twin-0".into(), format!("\"{canary}\"").into_bytes())]).await;
    dataflow.take(rule, 1).await;
    upstream.set_reachable(false).await;
    upstream.cut().await;
    let (connector, result) = session.ended(rule).await;
    shown.push(format!("{connector:?} {connector:#?}"));
    shown.extend(result.err().map(|error| chain(&error)));
    let (connector, result) = dataflow.run(connector).ended(rule).await;
    shown.push(format!("{connector:?}"));
    shown.extend(result.err().map(|error| chain(&error)));
    upstream.set_reachable(true).await;
    if let Some(connector) = upstream.wrong_credentials() {
        shown.push(format!("{connector:?}"));
        let (_, result) = dataflow.run(connector).ended(rule).await;
        shown.extend(result.err().map(|error| chain(&error)));
    }
    let secret = upstream.secret();
    for text in &shown {
        for forbidden in [Some(canary), secret.as_deref()].into_iter().flatten() {
            assert!(!text.contains(forbidden), "{rule}: \"{forbidden}\" is in \"{text}\"");
        }
    }
}

/// Everything that an error could print.
fn chain(error: &ConnectorError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(&format!(" {cause} {cause:?}"));
        below = cause.source();
    }
    text
}
