//! The bounded bridge between a connector and the dataflow.
//!
//! A [`Link`] is one session of a connector, in two halves so that waiting for room never stops
//! acknowledgements, feedback, stop or keep-alive (law F5): [`LinkIntake`] delivers,
//! [`LinkEvents`] says what became of it. A [`Slot`] is what survives the sessions: queue, taken
//! positions, outbox. The dataflow holds the slot and never waits for a connector.
//!
//! Reading order: this file, `link/slot.rs`, `link/intake.rs`, `link/delivery.rs`,
//! `link/events.rs`.

mod budget;
mod delivery;
mod events;
mod intake;
mod outbox;
mod refusals;
mod report;
mod slot;
mod statistics;
#[cfg(test)]
mod tests;
mod wake;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

pub use budget::QueueBudget;
pub use delivery::{DeadLetterRow, Delivery, RequestRow};
pub use events::{Confirmer, LinkEvents};
pub use intake::LinkIntake;
pub use outbox::{OUTBOX_LIMITS, OutboxEntry, OutboxLimits};
pub use refusals::{Refusals, Refused};
pub use report::{Condition, Reporter, UpstreamReport};
pub use slot::{Confirmations, Position, Slot, SlotPlace, Taken};
pub use statistics::SlotStatistics;
pub use wake::Wake;

use crate::message::{Clock, limits::DELIVERY_ROWS_MAX};

/// Number of a delivery on its slot; increases by one and is acknowledged in order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Receipt(pub u64);

/// Stable identity of one feedback within its model and twin (law D6).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FeedbackId {
    /// The generation that made it; a random number with the memory store.
    pub generation: u64,
    /// The epoch that made it.
    pub epoch: u64,
    /// Its place among the feedback of its twin in that epoch.
    pub index: u32,
}

impl fmt::Display for FeedbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}-{}", self.generation, self.epoch, self.index)
    }
}

/// The name, among those of feedback from a replayable source, of `topic/partition/position` of
/// the message that caused it.
pub const CAUSE: &str = "(cause)";

/// A message of a twin to its data source, ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Unique in the life of one slot; `sent(ticket)` confirms it.
    pub ticket: u64,
    /// The same after every redelivery.
    pub id: FeedbackId,
    /// The delivery that caused it, if that was one of this session.
    pub cause: Option<Receipt>,
    /// The model's name.
    pub model: String,
    /// The twin's id.
    pub twin: String,
    /// Names that the topic template of the twin's last message captured; see also [`CAUSE`].
    pub names: Vec<(String, String)>,
    /// What the twin sent.
    pub payload: Vec<u8>,
}

/// What the engine tells a connector.
///
/// Law: every `Send`, `Rejected` and `Outcome` of an epoch comes before the `Acknowledged` that
/// covers it (law D1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Feedback whose cause is durable; confirm it with [`LinkEvents::sent`].
    Send(Feedback),
    /// A message of this session became a dead letter.
    Rejected {
        /// Its delivery.
        receipt: Receipt,
        /// Its place in the delivery.
        index: u32,
        /// Number of the dead letter.
        dead_letter: u64,
        /// Why.
        reason: String,
    },
    /// A message of this session ended otherwise than by being applied alone.
    Outcome {
        /// Its delivery.
        receipt: Receipt,
        /// Its place in the delivery.
        index: u32,
        /// What happened.
        kind: OutcomeKind,
    },
    /// Everything up to this delivery is committed.
    Acknowledged {
        /// The newest delivery that is done; all earlier ones are too.
        up_to: Receipt,
        /// An epoch at or after the one that applied it.
        epoch: u64,
    },
    /// Read no more and go on until `Stop`.
    Drain,
    /// Disconnect, keeping the session, and return.
    Stop,
}

/// How a message ended that was not simply applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeKind {
    /// It was applied in one call with later messages, which got the feedback (law P7).
    Merged,
    /// Its id was applied before; the stored answer.
    Repeated(Vec<u8>),
    /// A message with its id is in this very epoch and has no answer yet.
    KeyInProgress,
    /// Its id was used before with another body.
    KeyOtherBody,
    /// Answer to a read: the state as JSON, `None` when there is no such twin.
    State(Option<Vec<u8>>),
    /// Answer to a create: whether the twin is new.
    Created(bool),
    /// Answer to a remove: whether the twin was there.
    Removed(bool),
    /// Answer to a replay or a drop: whether the dead letter was there. It is gone now.
    DeadLetterGone(bool),
    /// Answer to a release: whether the twin was in quarantine.
    Released(bool),
}

/// What a worker hands to a slot once its epoch is committed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum LinkRow {
    /// Goes to the outbox and stays until it is confirmed.
    Feedback(OutboxEntry),
    /// A message became a dead letter.
    Rejected {
        /// Its delivery.
        receipt: Receipt,
        /// Its place in the delivery.
        index: u32,
        /// Number of the dead letter.
        dead_letter: u64,
        /// Why.
        reason: String,
    },
    /// A message ended otherwise.
    Outcome {
        /// Its delivery.
        receipt: Receipt,
        /// Its place in the delivery.
        index: u32,
        /// What happened.
        kind: OutcomeKind,
    },
}

/// One session of a connector: two halves, used by one task or two.
#[derive(Debug)]
pub struct Link {
    /// Delivers messages.
    pub intake: LinkIntake,
    /// Says what became of them.
    pub events: LinkEvents,
}

/// The models of a generation: name to number and back.
#[derive(Debug, Default)]
pub struct ModelNames {
    numbers: HashMap<String, u16>,
    names: HashMap<u16, String>,
}

impl ModelNames {
    /// A table of names with the numbers that the state directory gave them.
    pub fn new(models: impl IntoIterator<Item = (String, u16)>) -> Self {
        let numbers: HashMap<_, _> = models.into_iter().collect();
        let names = numbers.iter().map(|(name, number)| (*number, name.clone())).collect();
        Self { numbers, names }
    }

    /// Number of a model.
    pub fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// Name of a model.
    pub fn name(&self, number: u16) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// All names in order.
    pub fn sorted(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.numbers.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// What all links of a process share.
pub struct Edge {
    /// Workers of the whole generation.
    pub workers: usize,
    /// The models of the generation.
    pub models: ModelNames,
    /// Time, passed in.
    pub clock: Clock,
    /// Bound on what waits in all queues together.
    pub budget: QueueBudget,
    /// What no new requests are taken for (laws R1, P5).
    pub refusals: Arc<Refusals>,
    careful: AtomicBool,
}

impl Edge {
    /// The edge of a process with `workers` workers in its generation.
    pub fn new(workers: usize, models: ModelNames, clock: Clock) -> Arc<Self> {
        let (budget, refusals) = (QueueBudget::default(), Arc::default());
        let careful = AtomicBool::new(false);
        Arc::new(Self { workers, models, clock, budget, refusals, careful })
    }

    /// One message per link and epoch, and a note of each twin before it is worked off: for finding
    /// out what ended the process before (law F4).
    pub fn is_careful(&self) -> bool {
        self.careful.load(Ordering::Relaxed)
    }

    /// Begins or ends that; what is under way goes on as it began.
    pub fn set_careful(&self, careful: bool) {
        self.careful.store(careful, Ordering::Relaxed);
    }

    /// Rows of one delivery at most.
    fn delivery_rows_max(&self) -> usize {
        if self.is_careful() { 1 } else { DELIVERY_ROWS_MAX }
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("workers", &self.workers).finish_non_exhaustive()
    }
}
