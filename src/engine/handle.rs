//! What other tasks and threads may ask of a running engine.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use twinflow_connectors::{
    link::{OutcomeKind, RequestRow},
    message::twin_id_error,
    route::{bucket, owner, twin_hash},
    row::RowKind,
};
use twinflow_operators::{TwinPage, progress::Ask, quarantine::Quarantined, tap::TAPS_MAX};

use super::{EngineStatistics, requests::EngineLinks, start::Parts, status};
use crate::{
    connections::{ConnectionStatus, Connections},
    error::{Error, ErrorKind},
};

/// Twins of one page of a list at most.
const PAGE_MAX: usize = 1000;

/// A twin as a read gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinState {
    /// The epoch that the state belongs to, or a later one that did not change it.
    pub epoch: u64,
    /// The state as JSON.
    pub json: Vec<u8>,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// No model has this name.
    UnknownModel(String),
    /// The twin id cannot be one.
    BadId(String),
    /// The cursor is not one that a list gave.
    BadCursor(String),
    /// The store has not moved for two seconds (law R1).
    Held,
    /// The engine is stopping.
    Stopping,
    /// Not committed in time; a create or remove may still happen.
    TimedOut,
    /// The twin's own code failed.
    Failed(String),
    /// The dead letter holds no message that a twin could get.
    NotReplayable(String),
    /// So many listen to calls already that no more are let in.
    TooManyListeners,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel(name) => write!(f, "no model is called \"{name}\""),
            Self::BadId(why) => f.write_str(why),
            Self::BadCursor(cursor) => write!(f, "\"{cursor}\" is no cursor of a list"),
            Self::Held => f.write_str("the store has not moved for two seconds"),
            Self::Stopping => f.write_str("the engine is stopping"),
            Self::TimedOut => f.write_str("not committed in time, the outcome is unknown"),
            Self::Failed(why) => write!(f, "the twin's code failed: {why}"),
            Self::NotReplayable(why) => write!(f, "it cannot be replayed: {why}"),
            Self::TooManyListeners => write!(f, "{TAPS_MAX} listeners hear of calls already"),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::new(ErrorKind::Refused, error.to_string())
    }
}

/// A cheap handle of a running engine. Everything answers [`RequestError::Stopping`] once the
/// engine stops.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) parts: Arc<Parts>,
    pub(super) links: Arc<EngineLinks>,
    pub(super) connections: Arc<Connections>,
    pub(super) stopping: Arc<AtomicBool>,
}

impl EngineHandle {
    /// The committed state of a twin; `None` when it does not exist (law R1).
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn read(&self, model: &str, id: &str) -> Result<Option<TwinState>, RequestError> {
        match self.ask(RowKind::Read, model, id).await? {
            (OutcomeKind::State(json), epoch) => Ok(json.map(|json| TwinState { epoch, json })),
            _ => Err(RequestError::Stopping),
        }
    }

    /// The state of a twin as its worker has it now, committed or not, as JSON.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn peek(&self, model: &str, id: &str) -> Result<Option<Vec<u8>>, RequestError> {
        let (number, worker) = (self.model(model)?, self.owner(id)?);
        let (answer, receiver) = oneshot::channel();
        let answer = Box::new(move |state| {
            // Who asked may have gone.
            let _gone = answer.send(state).is_err();
        });
        self.parts.controls[worker].ask(Ask::State { model: number, id: id.to_owned(), answer });
        self.wait(receiver).await
    }

    /// Creates a twin; `false` when it exists already, untouched.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; `Failed` when its `initialize` fails.
    pub async fn create(&self, model: &str, id: &str) -> Result<bool, RequestError> {
        let (outcome, _) = self.ask(RowKind::Create, model, id).await?;
        Ok(matches!(outcome, OutcomeKind::Created(true)))
    }

    /// Removes a twin; `false` when there was none.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn remove(&self, model: &str, id: &str) -> Result<bool, RequestError> {
        let (outcome, _) = self.ask(RowKind::Remove, model, id).await?;
        Ok(matches!(outcome, OutcomeKind::Removed(true)))
    }

    /// The twins in quarantine, by model and id.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.parts.quarantine.list()
    }

    /// Ends the quarantine of a twin; `false` when it is in none.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn release(&self, model: &str, id: &str) -> Result<bool, RequestError> {
        let (outcome, _) = self.ask(RowKind::Release, model, id).await?;
        Ok(matches!(outcome, OutcomeKind::Released(true)))
    }

    /// Ids of twins, at most `limit` (at most 1,000), and the cursor of the next page.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn list(
        &self,
        model: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), RequestError> {
        let number = self.model(model)?;
        let limit = limit.clamp(1, PAGE_MAX);
        let (mut worker, mut start) = match after {
            Some(cursor) => read_cursor(cursor, self.parts.controls.len())
                .ok_or_else(|| RequestError::BadCursor(cursor.to_owned()))?,
            None => (0, 0),
        };
        let mut ids = Vec::new();
        while ids.len() < limit && worker < self.parts.controls.len() {
            let page = self.page(worker, number, start, limit - ids.len()).await?;
            ids.extend(page.ids);
            (worker, start) = match page.next {
                Some(next) => (worker, next),
                None => (worker + 1, 0),
            };
        }
        let next = (worker < self.parts.controls.len()).then(|| format!("{worker}-{start}"));
        Ok((ids, next))
    }

    async fn page(
        &self,
        worker: usize,
        model: u16,
        start: u32,
        limit: usize,
    ) -> Result<TwinPage, RequestError> {
        let (answer, receiver) = oneshot::channel();
        let answer = Box::new(move |page| {
            // Who asked may have gone.
            let _gone = answer.send(page).is_err();
        });
        self.parts.controls[worker].ask(Ask::Page { model, start, limit, answer });
        self.wait(receiver).await
    }

    async fn wait<T>(&self, receiver: oneshot::Receiver<T>) -> Result<T, RequestError> {
        match tokio::time::timeout(self.limit(), receiver).await {
            Ok(answer) => answer.map_err(|_closed| RequestError::Stopping),
            Err(_elapsed) => Err(RequestError::TimedOut),
        }
    }

    async fn ask(
        &self,
        kind: RowKind,
        model: &str,
        twin: &str,
    ) -> Result<(OutcomeKind, u64), RequestError> {
        let (model, _) = (self.model(model)?, self.owner(twin)?);
        self.request(RequestRow { kind, model, twin, dead_letter: None }).await
    }

    /// Asks the owner of a twin, unless nothing moves.
    pub(super) async fn request(
        &self,
        request: RequestRow<'_>,
    ) -> Result<(OutcomeKind, u64), RequestError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(RequestError::Stopping);
        }
        if self.parts.edge.refusals.of_store().is_some() {
            return Err(RequestError::Held);
        }
        self.links.ask(request, self.limit()).await
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.parts.wait_ms)
    }

    pub(super) fn model(&self, name: &str) -> Result<u16, RequestError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(RequestError::Stopping);
        }
        let number = self.parts.edge.models.number(name);
        number.ok_or_else(|| RequestError::UnknownModel(name.to_owned()))
    }

    pub(super) fn owner(&self, id: &str) -> Result<usize, RequestError> {
        if let Some(why) = twin_id_error(id) {
            return Err(RequestError::BadId(why));
        }
        Ok(owner(bucket(twin_hash(id.as_bytes())), self.parts.controls.len()))
    }

    /// Names of the models.
    pub fn models(&self) -> Vec<String> {
        self.parts.edge.models.sorted().into_iter().map(str::to_owned).collect()
    }

    /// Where every connection is.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.connections.status()
    }

    /// Stops taking messages from a connection and keeps its position; `false`: no such one.
    pub fn pause(&self, connection: &str) -> bool {
        self.connections.pause(connection)
    }

    /// Lets a connection go on where it stopped; `false`: no such one.
    /// Models that were refused because its messages kept failing are taken again (law P5).
    pub fn resume(&self, connection: &str) -> bool {
        for (model, refused) in self.parts.edge.refusals.models() {
            if refused.connection == connection {
                self.parts.edge.refusals.allow(&model);
            }
        }
        self.connections.resume(connection)
    }

    /// Names of the live views.
    #[cfg(feature = "live-views")]
    pub fn views(&self) -> Vec<String> {
        self.parts.views.names()
    }

    /// A live view as it is, with the last epoch that is in it; `None`: there is no such view.
    #[cfg(feature = "live-views")]
    pub fn view(&self, name: &str) -> Option<crate::ViewState> {
        self.parts.views.state(name)
    }

    /// The same, and what becomes of it from then on; `None` also when the engine stops.
    #[cfg(feature = "live-views")]
    pub fn listen_to_view(&self, name: &str) -> Option<(crate::ViewState, crate::ViewListener)> {
        self.parts.views.listen(name)
    }

    /// Counters for metrics.
    pub fn statistics(&self) -> EngineStatistics {
        status::statistics(&self.parts)
    }

    /// Why the engine is not ready; empty when it is.
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Acquire) {
            reasons.push("the engine is stopping".to_owned());
        }
        reasons.extend(self.parts.edge.refusals.of_store().map(str::to_owned));
        for (model, refused) in self.parts.edge.refusals.models() {
            reasons.push(format!("model \"{model}\": {}", refused.reason));
        }
        for (model, reason) in self.parts.edge.refusals.overfull() {
            reasons.push(format!("model \"{model}\": {reason}"));
        }
        reasons
    }
}

pub(super) fn read_cursor(cursor: &str, workers: usize) -> Option<(usize, u32)> {
    let (worker, start) = cursor.split_once('-')?;
    let worker = worker.parse().ok().filter(|worker| *worker < workers)?;
    Some((worker, start.parse().ok()?))
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle").finish_non_exhaustive()
    }
}
