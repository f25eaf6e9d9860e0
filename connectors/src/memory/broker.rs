//! The handle for the world outside: sends, cuts, counts, receives.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use super::store::Store;
use crate::{link::Feedback, message::Timestamp};

/// A message as it is sent to a [`MemoryBroker`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryMessage {
    /// The model's name.
    pub model: String,
    /// The twin's id.
    pub twin: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Headers, as a Kafka record or an MQTT user property has them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Names, as a topic template captures them.
    pub names: Vec<(String, String)>,
    /// The sender's own id, for dedupe.
    pub id: Option<Vec<u8>>,
    /// The partition of a replayable broker; `None`: by the twin's id.
    pub partition: Option<usize>,
    /// The source's own time.
    pub source_time: Option<Timestamp>,
}

impl MemoryMessage {
    /// A message with nothing but its model, twin and payload.
    pub fn new(model: &str, twin: &str, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self { model: model.into(), twin: twin.into(), payload, ..Self::default() }
    }
}

/// The other end of a [`Memory`](super::Memory) connection; clones are the same broker.
#[derive(Clone)]
pub struct MemoryBroker(Arc<Broker>);

struct Broker {
    state: Mutex<State>,
    /// For the session: something was sent, cut, closed or set.
    changed: Notify,
    /// For the outside: anything happened. The number goes up each time.
    happened: Notify,
    happenings: Mutex<u64>,
    happened_blocking: Condvar,
}

pub(super) struct State {
    pub(super) store: Store,
    /// What arrived since somebody took it.
    pub(super) feedback: Vec<Feedback>,
    pub(super) confirms: bool,
    pub(super) rejected: u64,
    pub(super) cuts: u64,
    pub(super) sessions: u64,
    pub(super) refused: bool,
    pub(super) closed: bool,
}

impl MemoryBroker {
    pub(super) fn new(store: Store) -> Self {
        let state = State {
            store,
            feedback: Vec::new(),
            confirms: true,
            rejected: 0,
            cuts: 0,
            sessions: 0,
            refused: false,
            closed: false,
        };
        Self(Arc::new(Broker {
            state: Mutex::new(state),
            changed: Notify::new(),
            happened: Notify::new(),
            happenings: Mutex::new(0),
            happened_blocking: Condvar::new(),
        }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("the broker's state is never left half changed")
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    pub(super) fn tell_outside(&self) {
        *self.happenings() += 1;
        self.0.happened_blocking.notify_all();
        self.0.happened.notify_waiters();
    }

    pub(super) fn is_replayable(&self) -> bool {
        matches!(self.state().store, Store::Replayable { .. })
    }

    fn happenings(&self) -> MutexGuard<'_, u64> {
        self.0.happenings.lock().expect("counting does not panic")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.changed.notify_waiters();
        self.tell_outside();
    }

    /// Sends a message for a twin of a model.
    pub fn send(&self, model: &str, twin: &str, payload: impl AsRef<[u8]>) {
        self.send_with(MemoryMessage::new(model, twin, payload));
    }

    /// Sends a message with everything that it may have.
    ///
    /// # Panics
    ///
    /// If it names a partition that a replayable broker does not have.
    pub fn send_with(&self, message: MemoryMessage) {
        self.send_all([message]);
    }

    /// Sends several messages at once.
    ///
    /// # Panics
    ///
    /// If one names a partition that a replayable broker does not have.
    pub fn send_all(&self, messages: impl IntoIterator<Item = MemoryMessage>) {
        self.change(|state| messages.into_iter().for_each(|message| state.store.put(message)));
    }

    /// How many messages wait for their delivery.
    pub fn backlog(&self) -> usize {
        self.state().store.backlog()
    }

    /// How many messages the connector has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.committed().iter().sum()
    }

    /// The same per partition: its committed offset.
    pub fn committed(&self) -> Vec<u64> {
        self.state().store.committed()
    }

    /// How many messages the connector was told are dead letters.
    pub fn rejected(&self) -> u64 {
        self.state().rejected
    }

    /// How many sessions were opened.
    pub fn sessions(&self) -> u64 {
        self.state().sessions
    }

    /// Takes the feedback that arrived, oldest first.
    pub fn feedback(&self) -> Vec<Feedback> {
        std::mem::take(&mut self.state().feedback)
    }

    /// Whether feedback is confirmed when it arrives (it is at first). Turned on again, it confirms
    /// what the open session still has.
    pub fn confirm_feedback(&self, confirms: bool) {
        self.change(|state| state.confirms = confirms);
    }

    /// Cuts the session that is open; its `run` returns a retryable error, and what it has not
    /// acknowledged is delivered again to the next one.
    pub fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Whether new sessions find nobody.
    pub fn refuse(&self, refused: bool) {
        self.change(|state| state.refused = refused);
    }

    /// Nothing more comes: once everything is acknowledged `run` returns.
    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Waits until something holds of this broker; it is asked whenever anything happened.
    pub async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        loop {
            let happened = self.0.happened.notified();
            if holds(self) {
                return;
            }
            happened.await;
        }
    }

    /// The same for a thread that may block; `false` when it does not hold within `limit`.
    pub fn wait(&self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            let seen = *self.happenings();
            if holds(self) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            let waited =
                self.0
                    .happened_blocking
                    .wait_timeout_while(self.happenings(), left, |h| *h == seen);
            if waited.expect("counting does not panic").1.timed_out() {
                return holds(self);
            }
        }
    }
}

impl fmt::Debug for MemoryBroker {
    /// Counts only: what is in messages belongs to nobody's log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker")
            .field("backlog", &self.backlog())
            .field("committed", &self.committed())
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}
