//! The engine with every epoch synced: a burst of messages, one for each of as many twins, and the
//! wait until the last is acknowledged.
//!
//! Estimate: see [`crate::states`]; a burst of more than 4,096 is several epochs that share syncs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use twinflow::connectors::error::ConnectorError;
use twinflow::connectors::link::{Delivery, Link, LinkEvent};
use twinflow::connectors::message::{Format, Message, PartitionRef};
use twinflow::connectors::unacknowledged::Unacknowledged;
use twinflow::connectors::{Connector, ConnectorInfo, Guarantee};
use twinflow::prelude::*;
use twinflow::{Commit, Engine, EngineBuilder};

use super::Measured;
use super::cell::Cell;
use crate::Result;
use crate::record::Records;

const MODEL: &str = "blobs";
/// No burst takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a state has beside its text when it is stored: names, a number, lengths.
const BESIDE_TEXT: u64 = 22;

/// Measures the engine, then starts it once more and counts the twins that it has.
pub(super) fn measure(cell: &Cell<'_>) -> Result<Measured> {
    let dir = cell.directory()?;
    let builder = |processor| {
        Engine::builder()
            .state_dir(dir.path().join("state"))
            .commit(Commit::EveryEpoch)
            .workers(1)
            .model(MODEL, processor)
    };
    let (processor, bursts) = (Fill::new(cell), Arc::<Shared>::default());
    let wrong = Arc::clone(&processor.wrong);
    let engine = start(builder(processor), &bursts, cell)?;
    let mut measured = cell.repeat(|changes| bursts.allow(changes.end))?;
    engine.stop()?;
    let (again, none) = (Fill::new(cell), Arc::<Shared>::default());
    let engine = start(builder(again), &none, cell)?;
    let twins = engine.handle().statistics().models[0].twins;
    engine.stop()?;
    // The first burst is not among the states that were measured.
    let expected = cell.twins.min(measured.states + cell.changed);
    measured.right = (twins, wrong.load(Ordering::Relaxed)) == (expected, 0);
    Ok(measured)
}

fn start(builder: EngineBuilder, bursts: &Arc<Shared>, cell: &Cell<'_>) -> Result<Engine> {
    let connector = Bursts { shared: Arc::clone(bursts), twins: cell.twins };
    Ok(builder.connection("bursts", connector).start()?)
}

/// A state of a given length that counts its changes.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Blob {
    changes: u64,
    text: String,
}

impl TwinModel for Blob {
    type Message<'m> = RawMessage<'m>;
}

struct Fill {
    text: usize,
    twins: u64,
    /// Calls that found another number of changes than there had been.
    wrong: Arc<AtomicU64>,
}

impl Fill {
    fn new(cell: &Cell<'_>) -> Self {
        let text = usize::try_from(cell.state_bytes.saturating_sub(BESIDE_TEXT)).unwrap_or(0);
        Self { text, twins: cell.twins, wrong: Arc::default() }
    }
}

impl MessageProcessor for Fill {
    type Model = Blob;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        blob: &mut Blob,
        messages: Messages<'_, RawMessage<'_>>,
    ) -> ProcessingResult {
        for message in messages {
            let number =
                message.payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            self.wrong.fetch_add(u64::from(blob.changes != number / self.twins), Ordering::Relaxed);
            blob.changes += 1;
        }
        if blob.text.is_empty() {
            blob.text = "x".repeat(self.text);
        }
        Ok(Outcome::Update)
    }
}

/// How many messages may be handed over, and how many are acknowledged.
#[derive(Debug, Default)]
struct Shared {
    allowed: AtomicU64,
    changed: Notify,
    acknowledged: Mutex<u64>,
    happened: Condvar,
}

impl Shared {
    /// Lets all messages below `end` go and waits until they are acknowledged.
    fn allow(&self, end: u64) -> Result<()> {
        self.allowed.store(end, Ordering::Release);
        self.changed.notify_one();
        let known = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.happened.wait_timeout_while(known, PATIENCE, |known| *known < end);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            return Err(format!("{end} messages are not acknowledged after {PATIENCE:?}").into());
        }
        Ok(())
    }
}

/// Message `i` is for twin `i` modulo their number and says `i`.
struct Bursts {
    shared: Arc<Shared>,
    twins: u64,
}

impl Connector for Bursts {
    fn info(&self) -> ConnectorInfo {
        let (format, guarantee) = (Format::Bytes, Guarantee::ExactlyOnce);
        ConnectorInfo { format, guarantee, ..ConnectorInfo::default() }
    }

    async fn run(&mut self, link: Link) -> std::result::Result<(), ConnectorError> {
        let Link { mut intake, mut events } = link;
        let (partition, next) = intake.partition("bursts", 0);
        let mut next = next.unwrap_or(0);
        let (mut unacknowledged, mut reading) = (Unacknowledged::default(), true);
        loop {
            let allowed = self.shared.allowed.load(Ordering::Acquire);
            tokio::select! {
                biased;
                event = events.next() => match event {
                    LinkEvent::Acknowledged { up_to, .. } => {
                        if let Some((_, done)) = unacknowledged.up_to(up_to).last() {
                            let known = &self.shared.acknowledged;
                            *known.lock().unwrap_or_else(PoisonError::into_inner) = done;
                            self.shared.happened.notify_all();
                        }
                    }
                    LinkEvent::Drain => reading = false,
                    LinkEvent::Stop => return Ok(()),
                    LinkEvent::Send(feedback) => events.sent(feedback.ticket),
                    LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
                },
                permit = intake.reserve(), if reading && next < allowed => {
                    let mut delivery = permit?;
                    next = self.fill(&mut delivery, partition, next..allowed);
                    unacknowledged.push(delivery.deliver(), next);
                }
                () = self.shared.changed.notified() => {}
            }
        }
    }
}

impl Bursts {
    /// Hands over messages as far as they fit; gives the next.
    fn fill(
        &self,
        delivery: &mut Delivery<'_>,
        partition: PartitionRef,
        messages: std::ops::Range<u64>,
    ) -> u64 {
        for number in messages.clone() {
            let id = Records::id(number % self.twins);
            let twin = std::str::from_utf8(&id).expect("digits are text");
            let (position, payload) = (Some((partition, number)), number.to_le_bytes());
            if !delivery.push(&Message { position, ..Message::new(MODEL, twin, &payload) }) {
                return number;
            }
        }
        messages.end
    }
}
