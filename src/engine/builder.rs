//! What an engine is made of, as its user says it.

use std::{fmt, path::PathBuf, sync::Arc};

use twinflow_connectors::{Connector, message::Clock};
use twinflow_operators::{
    ModelSettings,
    feed::{Feed, Rows, Settled},
    model::MessageProcessor,
    models::Models,
    worker::BuildGraph,
};

use super::{
    Engine,
    recovering::Recovering,
    start,
    store::{Commit, StoreChoice},
    supervision::Supervision,
};
use crate::{
    connections::{Connection, ConnectionSettings},
    error::Result,
};

/// Builds an [`Engine`].
pub struct EngineBuilder {
    pub(super) models: Models,
    pub(super) connections: Vec<Connection>,
    pub(super) graph: Arc<BuildGraph>,
    pub(super) workers: usize,
    pub(super) store: StoreChoice,
    pub(super) clock: Clock,
    pub(super) wait_ms: u64,
    pub(super) keep_unknown: bool,
    pub(super) recover_from: Option<u64>,
    pub(super) stall_secs: u64,
    pub(super) supervision: Supervision,
    pub(super) recovering: Arc<Recovering>,
    #[cfg(feature = "live-views")]
    pub(super) views: Vec<crate::View>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            models: Models::new(),
            connections: Vec::new(),
            graph: Arc::new(|feed: Feed<'_, Rows>| {
                let models = feed.models();
                feed.process(models).settle()
            }),
            workers: 0,
            store: StoreChoice::log_in("state".into()),
            clock: crate::clock::system_clock(),
            wait_ms: 10_000,
            keep_unknown: false,
            recover_from: None,
            stall_secs: 30,
            supervision: Supervision::default(),
            recovering: Arc::default(),
            #[cfg(feature = "live-views")]
            views: Vec::new(),
        }
    }
}

impl EngineBuilder {
    /// Adds a model under the name that its twins are known by.
    #[must_use]
    pub fn model<P: MessageProcessor>(mut self, name: &str, processor: P) -> Self {
        self.models = self.models.with(name, processor);
        self
    }

    /// The same with settings other than the defaults.
    #[must_use]
    pub fn model_with<P: MessageProcessor>(
        mut self,
        name: &str,
        processor: P,
        settings: ModelSettings,
    ) -> Self {
        self.models = self.models.with_settings(name, processor, settings);
        self
    }

    /// Replaces all models.
    #[must_use]
    pub fn models(mut self, models: Models) -> Self {
        self.models = models;
        self
    }

    /// Adds a connection.
    #[must_use]
    pub fn connection<C: Connector>(self, name: &str, connector: C) -> Self {
        self.connection_with(name, connector, ConnectionSettings::default())
    }

    /// The same with settings other than the defaults.
    #[must_use]
    pub fn connection_with<C: Connector>(
        mut self,
        name: &str,
        connector: C,
        settings: ConnectionSettings,
    ) -> Self {
        self.connections.push(Connection::new(name, connector, settings));
        self
    }

    /// Adds connections whose types are known only to their registry.
    #[must_use]
    pub fn connections(mut self, connections: impl IntoIterator<Item = Connection>) -> Self {
        self.connections.extend(connections);
        self
    }

    /// Replaces the graph: `|feed| feed.filter(..).process(feed_models).settle()`.
    #[must_use]
    pub fn dataflow(
        mut self,
        build: impl for<'s> Fn(Feed<'s, Rows>) -> Settled<'s> + Send + Sync + 'static,
    ) -> Self {
        self.graph = Arc::new(build);
        self
    }

    /// Adds a live view: a count, a sum or a mean over all twins of a model, kept up to date.
    #[cfg(feature = "live-views")]
    #[must_use]
    pub fn view(mut self, view: crate::View) -> Self {
        self.views.push(view);
        self
    }

    /// Worker threads; 0, the default, takes one less than the machine has cores.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Keeps the twins in this directory, `state` by default.
    #[must_use]
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        match &mut self.store {
            StoreChoice::Log { dir: known, .. } => *known = dir.into(),
            other => *other = StoreChoice::log_in(dir.into()),
        }
        self
    }

    /// When the log is synced; of no account for other stores.
    #[must_use]
    pub fn commit(mut self, when: Commit) -> Self {
        if let StoreChoice::Log { commit, .. } = &mut self.store {
            *commit = when;
        }
        self
    }

    /// Keeps nothing over a restart: everything acknowledged is lost with the process.
    #[must_use]
    pub fn memory_store(mut self) -> Self {
        self.store = StoreChoice::Memory;
        self
    }

    /// Chooses the store.
    #[must_use]
    pub fn store(mut self, store: StoreChoice) -> Self {
        self.store = store;
        self
    }

    /// How long a read or a create waits for its commit, in milliseconds. Default 10,000.
    #[must_use]
    pub fn wait_ms(mut self, wait_ms: u64) -> Self {
        self.wait_ms = wait_ms;
        self
    }

    /// Keeps what the state has of models and connections that this engine lacks, instead of
    /// refusing to start (law D8): it is carried along as it is stored, until somebody has it
    /// again.
    #[must_use]
    pub fn keep_unknown(mut self, keep: bool) -> Self {
        self.keep_unknown = keep;
        self
    }

    /// Goes on with a damaged log by giving up everything behind this epoch (law D7). A log that is
    /// whole is not touched.
    #[must_use]
    pub fn recover_from(mut self, epoch: Option<u64>) -> Self {
        self.recover_from = epoch;
        self
    }

    /// After how many seconds in one call a worker counts as stalled, which ends the process with
    /// exit code 70 (law F4). Default 30, at least 1.
    #[must_use]
    pub fn stall_secs(mut self, stall_secs: u64) -> Self {
        self.stall_secs = stall_secs;
        self
    }

    /// What the supervisor of this process says.
    #[cfg(feature = "server")]
    pub(crate) fn supervision(mut self, supervision: Supervision) -> Self {
        self.supervision = supervision;
        self
    }

    /// Where it is seen how far the start is.
    #[cfg(feature = "server")]
    pub(crate) fn recovering(mut self, recovering: Arc<Recovering>) -> Self {
        self.recovering = recovering;
        self
    }

    /// Replaces the machine's clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Recovers the twins, starts workers and connections.
    ///
    /// # Errors
    ///
    /// A name is wrong or given twice, the state directory cannot be used, or a stored state does
    /// not load.
    pub fn start(self) -> Result<Engine> {
        start::start(self)
    }

    /// Starts, waits for SIGINT or SIGTERM, stops; a second signal ends the process at once.
    ///
    /// # Errors
    ///
    /// As [`Self::start`] and [`Engine::stop`].
    pub fn run(self) -> Result<()> {
        let engine = self.start()?;
        // On standard error: a program of three lines has no logging set up.
        eprintln!("{}", engine.banner());
        let asked = engine.runtime().block_on(crate::signals::stop_asked());
        asked?;
        crate::signals::exit_on_the_next(engine.runtime());
        eprintln!("stopping: draining, a second signal ends at once");
        let stopped = engine.stop()?;
        eprintln!("stopped: {stopped}");
        Ok(())
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("models", &self.models)
            .field("store", &self.store)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
