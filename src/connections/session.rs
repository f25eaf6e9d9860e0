//! The life of one slot: a session after another, each with a fresh link.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use twinflow_connectors::{
    error::{ConnectorError, chain},
    link::{Link, Slot},
};

use super::{AnyConnector, ConnectionSettings, ConnectionState, status::Health};

/// What is wanted of a connection, in the order in which it can only go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// Never started.
    Disabled,
    /// Takes messages.
    Running,
    /// Takes none, keeps its position.
    Paused,
    /// Takes none, still acknowledges and hands out feedback.
    Drained,
    /// Gone.
    Stopped,
}

impl Wanted {
    /// Running and paused go back and forth; draining and stopping are final.
    pub(super) fn may_become(self, wanted: Self) -> bool {
        match wanted {
            Self::Disabled => false,
            Self::Running | Self::Paused => self < Self::Drained && self != wanted,
            Self::Drained | Self::Stopped => self < wanted,
        }
    }
}

/// One slot and its connector.
pub(super) struct Session {
    pub(super) connector: Box<dyn AnyConnector>,
    pub(super) slot: Arc<Slot>,
    pub(super) health: Arc<Health>,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) settings: ConnectionSettings,
}

impl Session {
    /// Runs sessions until the connection is stopped. A panic in the connector is an error of this
    /// connection (law F1).
    pub(super) async fn run(self) {
        let (slot, health) = (Arc::clone(&self.slot), Arc::clone(&self.health));
        if let Err(end) = tokio::spawn(self.sessions()).await
            && end.is_panic()
        {
            slot.close();
            let name = &slot.place.connection;
            tracing::error!(
                connection = &**name,
                "the connector panicked; the connection is failed"
            );
            health.set(ConnectionState::Failed, Some("the connector panicked".into()));
        }
    }

    async fn sessions(mut self) {
        let mut backoff = self.settings.backoff();
        loop {
            let wanted = *self.wanted.borrow_and_update();
            match wanted {
                Wanted::Stopped | Wanted::Drained => return self.health.end(),
                Wanted::Disabled | Wanted::Paused => {
                    let paused = wanted == Wanted::Paused;
                    self.health.rest(paused);
                    if self.wanted.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Wanted::Running => {}
            }
            self.health.set(ConnectionState::Running, None);
            let (before, since) = (self.slot.receipts().1, Instant::now());
            let opened = self.slot.open();
            let result = self.session(opened).await;
            self.slot.close();
            // It worked: something was acknowledged, or it stayed longer than any wait.
            let longest = Duration::from_millis(self.settings.reconnect_backoff_max_ms);
            if self.slot.receipts().1 > before || since.elapsed() > longest {
                backoff.reset();
            }
            let Err(error) = result else { continue };
            if !error.is_retryable() {
                self.fail(&error).await;
                continue;
            }
            let wait = backoff.next(self.health.now().0);
            let state = match self.slot.report.is_unreached() {
                true => ConnectionState::Connecting,
                false => ConnectionState::Degraded,
            };
            self.report(state, &error);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.wanted.changed() => {}
            }
        }
    }

    /// One session: the connector runs while we watch what is wanted.
    async fn session(&mut self, link: Link) -> Result<(), ConnectorError> {
        let Self { connector, slot, wanted, health, .. } = self;
        let run = connector.run(link);
        tokio::pin!(run);
        let (mut draining, mut ends) = (false, false);
        loop {
            tokio::select! {
                result = &mut run => {
                    // The upstream has ended: nothing is left to do until somebody wants a change.
                    // A session that was told to end did not; it may have been resumed since.
                    if result.is_ok() && !ends && *wanted.borrow() == Wanted::Running {
                        health.set(ConnectionState::Ended, None);
                        slot.close();
                        let _engine_gone = wanted.changed().await.is_err();
                    }
                    return result;
                }
                changed = wanted.changed() => {
                    let now = if changed.is_ok() { *wanted.borrow() } else { Wanted::Stopped };
                    ends |= now >= Wanted::Paused;
                    match now {
                        Wanted::Stopped => slot.stop(),
                        Wanted::Drained | Wanted::Paused => {
                            health.set(ConnectionState::Draining, None);
                            slot.drain();
                            draining = now == Wanted::Paused;
                        }
                        Wanted::Running | Wanted::Disabled => {}
                    }
                }
                () = slot.settled(), if draining => {
                    // Paused: everything taken is acknowledged, the session may end.
                    draining = false;
                    slot.stop();
                }
            }
        }
    }

    fn report(&self, state: ConnectionState, error: &ConnectorError) {
        let text = chain(error);
        let name = &self.slot.place.connection;
        tracing::warn!(connection = &**name, error = text, "the session ended, will try again");
        self.health.set(state, Some(text));
    }

    /// Waits until a person changes something.
    async fn fail(&mut self, error: &ConnectorError) {
        let text = chain(error);
        let name = &self.slot.place.connection;
        tracing::error!(connection = &**name, error = text, "the connection failed");
        self.health.set(ConnectionState::Failed, Some(text));
        let _engine_gone = self.wanted.changed().await.is_err();
    }
}
