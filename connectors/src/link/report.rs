//! What a connector says of its upstream while its session runs: a condition, a lag, a loss.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::Slot;

/// Where a running session is with its upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing to say: it takes messages.
    #[default]
    Running,
    /// It has not reached its upstream yet, and what it waits for.
    Connecting(String),
    /// It goes on with a part of what it should do, and what is missing.
    Degraded(String),
}

/// What the sessions of one slot said; it outlives them.
#[derive(Debug)]
pub struct UpstreamReport {
    condition: Mutex<Condition>,
    /// Whether any session was connecting, and whether any got further.
    connecting: AtomicBool,
    reached: AtomicBool,
    lag: AtomicU64,
    lost: AtomicU64,
    sessions_lost: AtomicU64,
    note: Mutex<Option<String>>,
}

/// A lag that nobody has told.
const UNKNOWN: u64 = u64::MAX;

impl Default for UpstreamReport {
    fn default() -> Self {
        Self {
            condition: Mutex::default(),
            connecting: AtomicBool::new(false),
            reached: AtomicBool::new(false),
            lag: AtomicU64::new(UNKNOWN),
            lost: AtomicU64::new(0),
            sessions_lost: AtomicU64::new(0),
            note: Mutex::default(),
        }
    }
}

impl UpstreamReport {
    /// Where the open session is.
    pub fn condition(&self) -> Condition {
        self.condition.lock().expect("only set and read").clone()
    }

    /// Whether sessions have reported, and none of them has reached its upstream yet.
    pub fn is_unreached(&self) -> bool {
        self.connecting.load(Ordering::Relaxed) && !self.reached.load(Ordering::Relaxed)
    }

    /// Messages at the upstream behind what is acknowledged; `None` where nobody knows.
    pub fn lag_messages(&self) -> Option<u64> {
        Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag != UNKNOWN)
    }

    /// Messages that the upstream had removed before they were read.
    pub fn lost_messages(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Times that the upstream had forgotten our session, with an unknown number of messages.
    pub fn lost_sessions(&self) -> u64 {
        self.sessions_lost.load(Ordering::Relaxed)
    }

    /// The last thing that a person should know although the session goes on.
    pub fn note(&self) -> Option<String> {
        self.note.lock().expect("only set and read").clone()
    }

    /// A new session has said nothing yet.
    pub(super) fn start_session(&self) {
        *self.condition.lock().expect("only set and read") = Condition::Running;
    }
}

/// A handle for the connector's session to say where it is.
#[derive(Clone, Debug)]
pub struct Reporter(pub(super) Arc<Slot>);

impl Reporter {
    /// Says where the session is; gives what was said before.
    pub fn condition(&self, condition: Condition) -> Condition {
        let report = &self.0.report;
        let condition = match condition {
            // Who was there once has lost it.
            Condition::Connecting(text) if report.reached.load(Ordering::Relaxed) => {
                Condition::Degraded(text)
            }
            other => other,
        };
        let stage = match &condition {
            Condition::Connecting(_) => &report.connecting,
            Condition::Running | Condition::Degraded(_) => &report.reached,
        };
        stage.store(true, Ordering::Relaxed);
        std::mem::replace(&mut *report.condition.lock().expect("only set and read"), condition)
    }

    /// Messages at the upstream behind what is acknowledged.
    pub fn lag(&self, messages: u64) {
        self.0.report.lag.store(messages.min(UNKNOWN - 1), Ordering::Relaxed);
    }

    /// The upstream had removed so many messages before they were read.
    pub fn lost(&self, messages: u64, note: String) {
        self.0.report.lost.fetch_add(messages, Ordering::Relaxed);
        *self.0.report.note.lock().expect("only set and read") = Some(note);
    }

    /// The upstream had forgotten our session; nobody knows what was in it.
    pub fn session_lost(&self, note: String) {
        self.0.report.sessions_lost.fetch_add(1, Ordering::Relaxed);
        *self.0.report.note.lock().expect("only set and read") = Some(note);
    }
}
