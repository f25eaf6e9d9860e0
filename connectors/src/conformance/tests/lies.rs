//! The suite fails when it should: upstreams that lie about what their connector did.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::link::{Link, LinkEvent};

/// One thing that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    SendsTwice,
    SendsBackwards,
    AcknowledgesAtOnce,
    AcknowledgesTooMuch,
    NeverCuts,
    AlwaysReachable,
    ClaimsPositions,
    ConfirmsOnTrust,
    ChangesIds,
    RetriesWrongCredentials,
    ShowsItsSecret,
}

struct Lying(InProcess, Lie, u64);

impl Upstream for Lying {
    type Connector = Memory;

    fn connector(&mut self) -> Memory {
        self.0.connector()
    }

    fn is_replayable(&self) -> bool {
        self.1 == Lie::ClaimsPositions
    }

    async fn send(&mut self, mut messages: Vec<Sent>) {
        self.2 += messages.len() as u64;
        match self.1 {
            Lie::SendsTwice => messages.push(messages[0].clone()),
            Lie::SendsBackwards => messages.reverse(),
            _ => {}
        }
        self.0.send(messages).await;
    }

    async fn cut(&mut self) {
        if self.1 != Lie::NeverCuts {
            self.0.cut().await;
        }
    }

    async fn set_reachable(&mut self, reachable: bool) {
        self.0.set_reachable(reachable || self.1 == Lie::AlwaysReachable).await;
    }

    async fn acknowledged(&mut self) -> u64 {
        match self.1 {
            Lie::AcknowledgesAtOnce => self.2,
            Lie::AcknowledgesTooMuch => 2 * self.0.acknowledged().await,
            _ => self.0.acknowledged().await,
        }
    }

    async fn until_acknowledged(&mut self, count: u64) {
        if self.1 != Lie::AcknowledgesAtOnce {
            self.0.until_acknowledged(count).await;
        }
    }

    async fn next_feedback(&mut self) -> ReceivedFeedback {
        let mut feedback = self.0.next_feedback().await;
        if self.1 == Lie::ChangesIds {
            feedback.id = Some("17".into());
        }
        feedback
    }

    async fn withhold_confirmations(&mut self, withhold: bool) -> bool {
        self.0.withhold_confirmations(withhold && self.1 != Lie::ConfirmsOnTrust).await
    }

    async fn settle(&mut self) {
        self.0.settle().await;
    }

    fn wrong_credentials(&mut self) -> Option<Memory> {
        if self.1 != Lie::RetriesWrongCredentials {
            return None;
        }
        self.0.broker.refuse(true);
        Some(self.connector())
    }

    fn secret(&self) -> Option<String> {
        (self.1 == Lie::ShowsItsSecret).then(|| "backlog".into())
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// Runs a check that must fail, and gives its sentence.
fn sentence<U: Upstream>(mut upstream: U, check: impl AsyncFnOnce(&mut U)) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = AssertUnwindSafe(|| runtime.block_on(check(&mut upstream)));
    let panic = catch_unwind(run).expect_err("the check finds nothing wrong");
    match panic.downcast::<String>() {
        Ok(sentence) => *sentence,
        Err(other) => (*other.downcast::<&str>().unwrap()).to_owned(),
    }
}

fn caught(lie: Lie, rule: &str, check: impl AsyncFnOnce(&mut Lying)) {
    let honest = InProcess::new(Memory::acknowledged(20), false);
    let sentence = sentence(Lying(honest, lie, 0), check);
    assert!(sentence.contains(rule), "{lie:?}: {sentence}");
}

#[test]
fn lies_about_deliveries_are_found() {
    caught(Lie::SendsTwice, "each message once", async |u| delivers_everything(u).await);
    caught(Lie::SendsBackwards, "order of each twin", async |u| keeps_order_per_twin(u).await);
}

#[test]
fn lies_about_acknowledgements_are_found() {
    let check = async |u: &mut Lying| acknowledges_only_what_it_is_told(u).await;
    caught(Lie::AcknowledgesAtOnce, "when it is taken", check);
    caught(Lie::AcknowledgesTooMuch, "what it is told and nothing before", check);
}

#[test]
fn lies_about_sessions_are_found() {
    let check = async |u: &mut Lying| redelivers_what_was_not_acknowledged(u).await;
    caught(Lie::NeverCuts, "a lost session ends", check);
    let check = async |u: &mut Lying| opens_behind_the_taken_position(u).await;
    caught(Lie::ClaimsPositions, "law S2", check);
    let check = async |u: &mut Lying| reports_an_unreachable_upstream_as_retryable(u).await;
    caught(Lie::AlwaysReachable, "an unreachable upstream", check);
    let check = async |u: &mut Lying| reports_wrong_credentials_as_permanent(u).await;
    caught(Lie::RetriesWrongCredentials, "not worth another try", check);
}

#[test]
fn lies_about_feedback_and_secrets_are_found() {
    let check = async |u: &mut Lying| confirms_feedback_that_arrived(u).await;
    caught(Lie::ChangesIds, "the id", check);
    let check = async |u: &mut Lying| hands_unconfirmed_feedback_out_again(u).await;
    caught(Lie::ConfirmsOnTrust, "nothing is confirmed on trust", check);
    caught(Lie::ShowsItsSecret, "never shown", async |u| shows_no_secret(u).await);
}

/// Breaks law F5: while it waits for room it hears nothing, and it never drains.
#[derive(Debug)]
struct Deaf;

impl Connector for Deaf {
    async fn run(&mut self, link: Link) -> Result<(), crate::error::ConnectorError> {
        let Link { mut intake, mut events } = link;
        loop {
            while let Some(event) = events.try_next() {
                match event {
                    LinkEvent::Stop => return Ok(()),
                    LinkEvent::Send(feedback) => events.sent(feedback.ticket),
                    _ => {}
                }
            }
            let mut delivery = intake.reserve().await?;
            delivery.push(&crate::message::Message::new(MODEL, "twin-0", &[b'1'; 900 << 10]));
            delivery.deliver();
            tokio::task::yield_now().await;
        }
    }
}

struct DeafUpstream(InProcess);

impl Upstream for DeafUpstream {
    type Connector = Deaf;

    fn connector(&mut self) -> Deaf {
        Deaf
    }

    fn is_replayable(&self) -> bool {
        false
    }

    async fn send(&mut self, _endless: Vec<Sent>) {}

    async fn cut(&mut self) {}

    async fn set_reachable(&mut self, _reachable: bool) {}

    async fn acknowledged(&mut self) -> u64 {
        0
    }

    async fn until_acknowledged(&mut self, _count: u64) {}

    async fn next_feedback(&mut self) -> ReceivedFeedback {
        self.0.next_feedback().await
    }

    async fn settle(&mut self) {
        self.0.settle().await;
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }
}

#[test]
fn a_connector_that_hears_nothing_while_it_waits_is_found() {
    let upstream = || DeafUpstream(InProcess::new(Memory::acknowledged(1), false));
    let full = sentence(upstream(), async |u| keeps_running_while_the_link_is_full(u).await);
    assert!(full.contains("law F5"), "{full}");
    let drained = sentence(upstream(), async |u| drains_and_then_stops(u).await);
    assert!(drained.contains("read after the drain"), "{drained}");
}
