//! The tests that every connector must pass, written once.
//!
//! A connector's own test supplies an [`Upstream`]: how to send, cut, count and receive on the far
//! side. [`all`] drives the connector over a real link with a [`Dataflow`] made by hand, without
//! timely, and panics with a sentence that names the rule that was broken. The rules are those of
//! this crate's README.
//!
//! Checks of what must *not* happen wait for [`Upstream::settle`] and then look.

mod dataflow;
mod delivering;
mod ending;
mod feedback;
mod reconnecting;
#[cfg(test)]
mod tests;

use std::{fmt::Debug, time::Duration};

pub use dataflow::{Dataflow, SeenRow, Session};
pub use delivering::{
    acknowledges_only_what_it_is_told, delivers_everything, keeps_order_per_twin,
    keeps_running_while_the_link_is_full,
};
pub use ending::{
    drains_and_then_stops, reports_an_unreachable_upstream_as_retryable,
    reports_wrong_credentials_as_permanent, shows_no_secret,
};
pub use feedback::{confirms_feedback_that_arrived, hands_unconfirmed_feedback_out_again};
pub use reconnecting::{
    ignores_acknowledgements_of_an_earlier_session, opens_behind_the_taken_position,
    redelivers_what_was_not_acknowledged,
};

use crate::Connector;

/// The model that all messages of the checks are for.
pub const MODEL: &str = "pump";

/// A message of a check: twin id and payload.
pub type Sent = (String, Vec<u8>);

/// Feedback as it arrived at the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedFeedback {
    /// The twin that it came from.
    pub twin: String,
    /// The payload, unchanged.
    pub payload: Vec<u8>,
    /// Its stable id as text, where the protocol carries one.
    pub id: Option<String>,
}

/// The far side of one connector, as its test supplies it; fresh for each check.
pub trait Upstream {
    /// The connector under test.
    type Connector: Connector + Debug;

    /// A connector to this upstream, for twins of [`MODEL`].
    fn connector(&mut self) -> Self::Connector;

    /// Whether positions travel with the rows; else the upstream waits for acknowledgements.
    fn is_replayable(&self) -> bool;

    /// Sends messages in this order.
    fn send(&mut self, messages: Vec<Sent>) -> impl Future<Output = ()>;

    /// Cuts the connection under the session.
    fn cut(&mut self) -> impl Future<Output = ()>;

    /// Makes new sessions impossible, or possible again. The open one may go on or break.
    fn set_reachable(&mut self, reachable: bool) -> impl Future<Output = ()>;

    /// How many messages the upstream believes are done.
    fn acknowledged(&mut self) -> impl Future<Output = u64>;

    /// Waits until it believes that of at least `count`.
    fn until_acknowledged(&mut self, count: u64) -> impl Future<Output = ()>;

    /// Waits for the next feedback.
    fn next_feedback(&mut self) -> impl Future<Output = ReceivedFeedback>;

    /// Makes the upstream withhold its confirmation of feedback, or give it again; `false` if it
    /// cannot, and then what needs it is not checked.
    fn withhold_confirmations(&mut self, _withhold: bool) -> impl Future<Output = bool> {
        std::future::ready(false)
    }

    /// Waits until whatever the connector has done by now would be visible here.
    fn settle(&mut self) -> impl Future<Output = ()> {
        tokio::time::sleep(Duration::from_millis(200))
    }

    /// A connector with credentials that the upstream refuses, where there are any.
    fn wrong_credentials(&mut self) -> Option<Self::Connector> {
        None
    }

    /// A text that is part of a secret in the connector's settings; it may never be shown.
    fn secret(&self) -> Option<String> {
        None
    }

    /// Number and size of messages that fill a link: more than 8 MiB or 8,192 in all.
    fn flood(&self) -> (usize, usize) {
        (16, 900 << 10)
    }

    /// For how long a full link is held; longer than the upstream's keep-alive, if it has one.
    fn keep_alive(&self) -> Duration {
        Duration::ZERO
    }

    /// How long anything may take before its check fails.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Names that the last message of a twin captured, for connectors that address feedback so.
    fn names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Runs every check, each with a fresh upstream.
pub async fn all<U: Upstream>(factory: impl AsyncFn() -> U) {
    delivers_everything(&mut factory().await).await;
    keeps_order_per_twin(&mut factory().await).await;
    acknowledges_only_what_it_is_told(&mut factory().await).await;
    keeps_running_while_the_link_is_full(&mut factory().await).await;
    redelivers_what_was_not_acknowledged(&mut factory().await).await;
    ignores_acknowledgements_of_an_earlier_session(&mut factory().await).await;
    opens_behind_the_taken_position(&mut factory().await).await;
    confirms_feedback_that_arrived(&mut factory().await).await;
    hands_unconfirmed_feedback_out_again(&mut factory().await).await;
    drains_and_then_stops(&mut factory().await).await;
    reports_an_unreachable_upstream_as_retryable(&mut factory().await).await;
    reports_wrong_credentials_as_permanent(&mut factory().await).await;
    shows_no_secret(&mut factory().await).await;
}

/// Messages `numbers` for twins taken in turn from `twins`; the payload says the number.
fn messages(twins: usize, numbers: std::ops::Range<usize>) -> Vec<Sent> {
    let message = |number| (format!("twin-{}", number % twins), payload(number));
    numbers.map(message).collect()
}

fn payload(number: usize) -> Vec<u8> {
    format!("{{\"n\":{number}}}").into_bytes()
}

/// Waits for the upstream's belief and then holds it to exactly that.
async fn acknowledged_exactly<U: Upstream>(upstream: &mut U, count: u64, rule: &str) {
    let patience = upstream.patience();
    let reached = tokio::time::timeout(patience, upstream.until_acknowledged(count)).await;
    if reached.is_err() {
        let now = upstream.acknowledged().await;
        panic!("{rule}: {now} of {count} messages are acknowledged after {patience:?}");
    }
    upstream.settle().await;
    assert_eq!(upstream.acknowledged().await, count, "{rule}: this many are acknowledged");
}
