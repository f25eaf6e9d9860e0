//! The engine: models, connections and a store, assembled and running.
//!
//! [`Engine::builder`] takes what the user has, [`EngineBuilder::start`] starts it, and the
//! [`Engine`] is a handle: it reads twins, pauses connections and stops.

mod builder;
mod calls;
mod dead_letters;
mod failure;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod handle;
mod housekeeping;
mod letters;
mod notes;
mod recovering;
mod requests;
mod start;
mod status;
mod stop;
mod store;
mod supervision;
mod suspect;
mod watch;

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;
use timely::worker::Worker;

pub use self::{
    builder::EngineBuilder,
    calls::CallListener,
    handle::{EngineHandle, RequestError, TwinState},
    status::{EngineStatistics, ModelStatus},
    stop::{Left, Stopped},
    store::{Commit, StoreChoice},
};

#[cfg(feature = "server")]
pub(crate) use self::{
    recovering::{Recovering, Step, Task},
    supervision::{Report, Supervision},
};

use self::{requests::EngineLinks, start::Parts, watch::Watch};
use crate::{
    connections::Connections,
    error::{Error, ErrorKind, Result},
};

/// Joins what timely started; the type is timely's own.
type Workers = timely::communication::WorkerGuards<()>;

/// A running engine. Dropping it stops it at once, without a drain; [`Engine::stop`] drains.
pub struct Engine {
    parts: Arc<Parts>,
    connections: Arc<Connections>,
    handle: EngineHandle,
    runtime: Option<tokio::runtime::Runtime>,
    workers: Option<Workers>,
    /// Until the workers have ended.
    _watch: Watch,
}

impl Engine {
    /// What an engine is made of, to be filled in.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// A cheap handle for other tasks and threads.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// What runs, in a few lines for the terminal: models, connections, store.
    pub fn banner(&self) -> String {
        status::banner(&self.parts, &self.connections)
    }

    /// The runtime that connectors run on; a server of one's own may use it.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        self.runtime.as_ref().expect("a running engine has its runtime").handle()
    }

    /// The committed state of a twin (law R1).
    ///
    /// # Errors
    ///
    /// [`RequestError`], or the state is not an `M`.
    pub fn twin<M: DeserializeOwned>(&self, model: &str, id: &str) -> Result<Option<M>> {
        let asked = self.runtime().block_on(self.handle.read(model, id));
        let Some(state) = asked? else { return Ok(None) };
        let twin = serde_json::from_slice(&state.json).map_err(|error| {
            let what = format!("model \"{model}\", twin \"{id}\": the state has another shape");
            Error::new(ErrorKind::Misconfigured, what).because(error)
        });
        Ok(Some(twin?))
    }

    /// Drains, commits, acknowledges, hands out feedback and ends (law F2); says what was left.
    ///
    /// # Errors
    ///
    /// The store could not be sealed.
    pub fn stop(mut self) -> Result<Stopped> {
        stop::stop(&mut self)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.parts.quit();
        if let Some(runtime) = self.runtime.take() {
            // Tasks that still run have the store and its directory; who may wait waits for them.
            if tokio::runtime::Handle::try_current().is_ok() {
                runtime.shutdown_background();
            } else {
                runtime.shutdown_timeout(stop::DISCONNECT_LIMIT);
            }
        }
        drop(self.workers.take());
    }
}

/// The entry of every worker thread, in one place.
fn run(worker: &mut Worker, parts: &Parts, links: &EngineLinks) {
    let _links_outlive_the_workers = links;
    twinflow_operators::worker::run_worker(worker, parts.setup_of(worker.index()), &*parts.graph);
}
