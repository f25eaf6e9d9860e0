//! Where a connection is, and why (behaviour.md 2).

use std::{
    ops::Add,
    sync::{Arc, Mutex, atomic::Ordering},
};

use serde::Serialize;
use twinflow_connectors::{
    ConnectorAbout, ConnectorInfo, Guarantee,
    link::{Condition, Slot},
    message::{Clock, Timestamp},
};

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// It takes messages.
    Running,
    /// Its upstream has ended by itself.
    Ended,
    /// It takes none and keeps its position.
    Paused,
    /// It takes none and still acknowledges.
    Draining,
    /// It is not started.
    Disabled,
    /// It has not reached its upstream yet.
    Connecting,
    /// It lost its upstream, or a part of what it should do, and tries again.
    Degraded,
    /// A person has to change something.
    Failed,
}

/// State of one slot, with what went wrong last.
pub(super) struct Health {
    now: Mutex<(ConnectionState, Timestamp, Option<String>)>,
    clock: Clock,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Health {
    pub(super) fn new(clock: &Clock) -> Arc<Self> {
        let now = Mutex::new((ConnectionState::Disabled, clock(), None));
        Arc::new(Self { now, clock: clock.clone() })
    }

    pub(super) fn set(&self, state: ConnectionState, error: Option<String>) {
        let mut now = self.now.lock().expect("health");
        let since = if now.0 == state { now.1 } else { (self.clock)() };
        *now = (state, since, error);
    }

    /// The moment that the engine's clock shows.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn rest(&self, paused: bool) {
        let state = if paused { ConnectionState::Paused } else { ConnectionState::Disabled };
        self.set(state, None);
    }

    pub(super) fn end(&self) {
        self.set(ConnectionState::Ended, None);
    }

    fn get(&self) -> (ConnectionState, Timestamp, Option<String>) {
        self.now.lock().expect("health").clone()
    }
}

/// A connection as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it listens or connects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The worst state of its slots.
    pub state: ConnectionState,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it promises.
    pub guarantee: &'static str,
    /// Links that it has.
    pub slots: usize,
    /// Messages delivered.
    pub received: u64,
    /// Bytes of their rows.
    pub received_bytes: u64,
    /// Deliveries that wait for their acknowledgement.
    pub unacknowledged_deliveries: u64,
    /// Messages that wait in its queues.
    pub queued: u64,
    /// Seconds since the oldest delivery that waits was made; 0 when none waits.
    pub oldest_unacknowledged_seconds: f64,
    /// Why that one waits, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<&'static str>,
    /// Feedback that waits for its confirmation.
    pub feedback_unconfirmed: u64,
    /// Feedback that was confirmed.
    pub feedback_confirmed: u64,
    /// Messages dropped because their position had been taken.
    pub repeated_positions: u64,
    /// Messages at the upstream behind what is acknowledged, where the upstream says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_messages: Option<u64>,
    /// Messages that the upstream had removed before they were read.
    pub lost_messages: u64,
    /// Times that the upstream had forgotten our session.
    pub lost_sessions: u64,
    /// What a person should know although the connection goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Sessions opened.
    pub sessions: u64,
}

/// While a session runs, its connector knows best.
fn with_report(
    (state, since, error): (ConnectionState, Timestamp, Option<String>),
    slot: &Slot,
) -> (ConnectionState, Timestamp, Option<String>) {
    match (state, slot.report.condition()) {
        (ConnectionState::Running, Condition::Connecting(why)) => {
            (ConnectionState::Connecting, since, Some(why))
        }
        (ConnectionState::Running, Condition::Degraded(why)) => {
            (ConnectionState::Degraded, since, Some(why))
        }
        _ => (state, since, error),
    }
}

/// Gathers the status of a connection from its slots.
pub(super) fn status(
    name: &str,
    about: &ConnectorAbout,
    info: &ConnectorInfo,
    slots: &[Arc<Slot>],
    health: &[Arc<Health>],
    now: Timestamp,
) -> ConnectionStatus {
    let states = health.iter().zip(slots).map(|(health, slot)| with_report(health.get(), slot));
    let states: Vec<_> = states.collect();
    let (state, since, error) = states.into_iter().max_by_key(|(state, ..)| *state).unwrap_or((
        ConnectionState::Disabled,
        now,
        None,
    ));
    let sum = |count: &dyn Fn(&Slot) -> u64| slots.iter().map(|slot| count(slot)).sum::<u64>();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let oldest = slots.iter().filter_map(|slot| slot.oldest_unacknowledged()).min();
    let queued = sum(&|slot| slot.queued().1 as u64);
    ConnectionStatus {
        name: name.to_owned(),
        kind: about.kind,
        address: about.address.clone(),
        state,
        since_ms: since.as_millis(),
        error,
        guarantee: match info.guarantee {
            Guarantee::ExactlyOnce => "exactly once on state",
            Guarantee::AtLeastOnce => "at least once; exactly once with message ids",
        },
        slots: slots.len(),
        received: sum(&|slot| load(&slot.statistics.received)),
        received_bytes: sum(&|slot| load(&slot.statistics.received_bytes)),
        unacknowledged_deliveries: sum(&|slot| slot.waiting_deliveries()),
        queued,
        oldest_unacknowledged_seconds: oldest.map_or(0.0, |oldest| now.secs_since(oldest)),
        waiting_for: oldest
            .map(|_| if queued > 0 { "room in the dataflow" } else { "its epoch to be committed" }),
        feedback_unconfirmed: sum(&|slot| slot.unconfirmed() as u64),
        feedback_confirmed: sum(&|slot| load(&slot.statistics.feedback_confirmed)),
        repeated_positions: sum(&|slot| load(&slot.statistics.repeated_positions)),
        lag_messages: slots.iter().filter_map(|slot| slot.report.lag_messages()).reduce(u64::add),
        lost_messages: sum(&|slot| slot.report.lost_messages()),
        lost_sessions: sum(&|slot| slot.report.lost_sessions()),
        note: slots.iter().find_map(|slot| slot.report.note()),
        sessions: sum(&|slot| load(&slot.statistics.sessions)),
    }
}
