//! A clean stop (law F2): drain, commit, acknowledge, hand out feedback, mark, seal, disconnect.

use std::{fmt, sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::Engine;
use crate::error::Result;

/// What a stop left undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Epochs that were closed in this run.
    pub epochs: u64,
    /// Per connection with anything left.
    pub left: Vec<Left>,
}

/// What one connection was left with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub connection: String,
    /// Deliveries that were not acknowledged; their upstream has them and sends them again.
    pub unacknowledged: u64,
    /// Feedback that was not confirmed; it is stored and handed out again.
    pub unconfirmed_feedback: u64,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epochs closed", self.epochs)?;
        if self.left.is_empty() {
            return f.write_str(", nothing left");
        }
        for left in &self.left {
            let Left { connection, unacknowledged, unconfirmed_feedback } = left;
            write!(
                f,
                "; \"{connection}\" has {unacknowledged} unacknowledged deliveries and \
                 {unconfirmed_feedback} unconfirmed feedback messages"
            )?;
        }
        Ok(())
    }
}

/// How long connectors get to disconnect once they are told to.
pub(super) const DISCONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the dataflow gets to end once nothing is left in it.
const END_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub(super) fn stop(engine: &mut Engine) -> Result<Stopped> {
    engine.handle.stopping.store(true, Ordering::Release);
    let runtime = engine.runtime.take().expect("an engine is stopped once");
    let parts = &engine.parts;
    let stopped = runtime.block_on(async {
        let stopped = drain(engine).await;
        parts.end();
        let ended = || parts.progress.committed.load(Ordering::Acquire) == u64::MAX;
        wait_until(Instant::now() + END_LIMIT, ended).await;
        stopped
    });
    #[cfg(feature = "live-views")]
    parts.views.stop();
    // A store that stands still is not waited for: what it has not made durable never left.
    parts.quit();
    if let Some(workers) = engine.workers.take() {
        drop(workers.join());
    }
    engine.handle.links.close();
    engine.parts.store.seal()?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(stopped)
}

async fn drain(engine: &Engine) -> Stopped {
    let (parts, connections) = (&engine.parts, &engine.connections);
    let limit = connections.slots().map(|(_, settings)| settings.drain_timeout_ms).max();
    let deadline = Instant::now() + Duration::from_millis(limit.unwrap_or(0));
    connections.drain();
    wait_until(deadline, || connections.slots().all(|(slot, _)| slot.waiting_deliveries() == 0))
        .await;
    // Feedback whose upstream fetches it by itself waits in the store; nobody waits for it here.
    let handed_out = || {
        let mut pushed = connections.slots().filter(|(slot, _)| !slot.place.answers);
        // After the drain no new session is opened: one that is over takes nothing more.
        pushed.all(|(slot, _)| slot.unconfirmed() == 0 || !slot.is_open())
    };
    wait_until(deadline, handed_out).await;
    flush_confirmations(engine).await;
    let mut left = std::collections::BTreeMap::<String, Left>::new();
    for (slot, _) in connections.slots() {
        let (unacknowledged, unconfirmed) = (slot.waiting_deliveries(), slot.unconfirmed() as u64);
        if unacknowledged + unconfirmed > 0 {
            let name = slot.place.connection.to_string();
            let entry = left.entry(name.clone()).or_default();
            entry.connection = name;
            entry.unacknowledged += unacknowledged;
            entry.unconfirmed_feedback += unconfirmed;
        }
    }
    connections.stop(DISCONNECT_LIMIT).await;
    let epochs = parts.progress.epochs.load(Ordering::Relaxed);
    Stopped { epochs, left: left.into_values().collect() }
}

/// The last epoch: confirmations that nothing else took along.
async fn flush_confirmations(engine: &Engine) {
    let parts = &engine.parts;
    for (control, wake) in parts.controls.iter().zip(&parts.wakes) {
        control.flush.store(true, Ordering::Release);
        wake.ring();
    }
    let deadline = Instant::now() + DISCONNECT_LIMIT;
    let marked = || parts.slots.iter().all(|slot| !slot.has_confirmations());
    wait_until(deadline, marked).await;
    let settled = || parts.progress.committed.load(Ordering::Acquire) >= parts.clock.now();
    wait_until(deadline, settled).await;
}

async fn wait_until(deadline: Instant, holds: impl Fn() -> bool) {
    while !holds() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
