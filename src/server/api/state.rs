//! What all handlers share.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use twinflow_connectors::rest::{ServerTls, access::Access};

use super::problem::Problem;
use crate::{
    EngineHandle,
    engine::{Recovering, Step},
    server::audit::Audit,
};

/// What a server knows before its engine runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiSettings {
    /// Addresses of REST connections with a listener of their own.
    pub(crate) elsewhere: Vec<String>,
    /// Whether a REST connection is mounted here.
    pub(crate) takes_messages: bool,
    /// What request ids begin with; differs between two runs.
    pub(crate) run: String,
    /// Who may ask; absent: everybody who reaches the listener.
    pub(crate) access: Option<Arc<Access>>,
    /// Where changes are noted.
    pub(crate) audit: Option<Arc<Audit>>,
    /// Whether other machines reach the listener.
    pub(crate) is_reachable: bool,
    /// Certificates by the names of their listeners.
    pub(crate) certificates: Vec<(String, Arc<ServerTls>)>,
    /// How far the start of the engine is.
    pub(crate) recovering: Arc<Recovering>,
}

/// The state of the handlers; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: ApiSettings,
    engine: OnceLock<EngineHandle>,
    stopping: AtomicBool,
    requests: AtomicU64,
}

impl Api {
    pub(crate) fn new(settings: ApiSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            engine: OnceLock::new(),
            stopping: AtomicBool::new(false),
            requests: AtomicU64::new(0),
        }))
    }

    /// The engine runs from now on.
    pub(crate) fn started(&self, engine: EngineHandle) {
        let first = self.0.engine.set(engine).is_ok();
        debug_assert!(first, "a server starts one engine");
    }

    /// Load balancers learn of it before the engine does.
    pub(crate) fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn settings(&self) -> &ApiSettings {
        &self.0.settings
    }

    /// The engine, or 503 while it recovers.
    pub(super) fn engine(&self) -> Result<&EngineHandle, Problem> {
        let starting = || Problem::new(503, "starting", self.starting()).retry_after(1);
        self.0.engine.get().ok_or_else(starting)
    }

    /// How far the start is, while there is no engine.
    pub(super) fn recovery(&self) -> Option<Step> {
        self.0.engine.get().map_or_else(|| self.0.settings.recovering.step(), |_| None)
    }

    fn starting(&self) -> String {
        match self.recovery() {
            Some(step) => format!("the engine is starting: {step}"),
            None => "the engine is starting".into(),
        }
    }

    /// Why requests should go elsewhere; empty when the engine is ready.
    pub(super) fn not_ready(&self) -> Vec<String> {
        let Some(engine) = self.0.engine.get() else {
            return vec![self.starting()];
        };
        let mut reasons = engine.not_ready();
        let stopping = "the engine is stopping";
        if self.0.stopping.load(Ordering::Acquire) && !reasons.iter().any(|why| why == stopping) {
            reasons.push(stopping.into());
        }
        reasons
    }

    /// An id that no other request of this run has.
    pub(super) fn next_id(&self) -> String {
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}-{number}", self.0.settings.run)
    }
}
