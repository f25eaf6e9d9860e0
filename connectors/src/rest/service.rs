//! What all slots of a REST connection share.

use std::sync::{
    Arc, OnceLock, RwLock,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use axum::{body::Body, http::Response};
use tokio::sync::Semaphore;

use super::{
    access::Access,
    feedback::Mailboxes,
    gate::Gate,
    problem::Problem,
    settings::{BODIES_BYTES_MAX, RestSettings},
    tls::ServerTls,
};
use crate::{
    error::ConnectorError,
    link::{LinkIntake, Refusals},
    message::twin_id_error,
    route::{bucket, owner, twin_hash},
};

/// Open sessions, by worker and in the order of opening, and the models that they know.
#[derive(Debug, Default)]
struct Gates {
    workers: usize,
    open: Vec<Arc<Gate>>,
    models: Vec<String>,
    refusals: Arc<Refusals>,
}

/// One REST connection.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) settings: RestSettings,
    pub(super) mailboxes: Arc<Mailboxes>,
    /// Permits for bytes of bodies.
    pub(super) bodies: Semaphore,
    gates: RwLock<Gates>,
    api_address: RwLock<Option<String>>,
    access: OnceLock<Arc<Access>>,
    tls: OnceLock<Arc<ServerTls>>,
    anywhere: AtomicBool,
    turn: AtomicUsize,
    problems: AtomicU64,
}

const LOCK: &str = "never left half changed";

impl Service {
    pub(super) fn new(settings: RestSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            mailboxes: Arc::default(),
            bodies: Semaphore::new(BODIES_BYTES_MAX),
            gates: RwLock::default(),
            api_address: RwLock::default(),
            access: OnceLock::new(),
            tls: OnceLock::new(),
            anywhere: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            problems: AtomicU64::new(0),
        })
    }

    /// A session opens: requests may choose it from now on.
    pub(super) fn open(&self, gate: &Arc<Gate>, intake_of: &LinkFacts) {
        let mut gates = self.gates.write().expect(LOCK);
        gates.workers = intake_of.workers;
        gates.models.clone_from(&intake_of.models);
        gates.refusals = Arc::clone(&intake_of.refusals);
        gates.open.push(Arc::clone(gate));
    }

    /// A session is over: nothing chooses it any more, and who waits gets no outcome.
    pub(super) fn close(&self, gate: &Arc<Gate>) {
        self.gates.write().expect(LOCK).open.retain(|open| !Arc::ptr_eq(open, gate));
        gate.waiters.close();
        self.mailboxes.wake_all();
    }

    /// The session whose worker owns the twin, else any.
    pub(super) fn gate_of(&self, twin: &str) -> Result<Arc<Gate>, Problem> {
        let gates = self.gates.read().expect(LOCK);
        let worker = owner(bucket(twin_hash(twin.as_bytes())), gates.workers.max(1));
        let own = gates.open.iter().find(|gate| gate.worker == worker);
        let gate = own.or_else(|| gates.open.first()).cloned();
        drop(gates);
        self.usable(gate)
    }

    /// Any session, each in turn.
    pub(super) fn any_gate(&self) -> Result<Arc<Gate>, Problem> {
        let gates = self.gates.read().expect(LOCK);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % gates.open.len().max(1);
        let gate = gates.open.get(turn).cloned();
        drop(gates);
        self.usable(gate)
    }

    fn usable(&self, gate: Option<Arc<Gate>>) -> Result<Arc<Gate>, Problem> {
        let Some(gate) = gate else {
            return Err(Problem::new(503, "starting", "the engine is not ready").retry_after(1));
        };
        if gate.draining.load(Ordering::Acquire) {
            let secs = self.settings.retry_after_max_secs.min(5);
            return Err(Problem::new(503, "draining", "the engine is stopping").retry_after(secs));
        }
        Ok(gate)
    }

    /// Whether fetches of feedback should not wait: the engine stops, or has no session.
    pub(super) fn hurries(&self) -> bool {
        let gates = self.gates.read().expect(LOCK);
        gates.open.is_empty() || gates.open.iter().any(|gate| gate.draining.load(Ordering::Acquire))
    }

    /// Checks a message's address: 503 before a session, 404 for the model, 400 for the id.
    pub(super) fn check_address(&self, model: &str, twin: &str) -> Result<(), Problem> {
        let gates = self.gates.read().expect(LOCK);
        if gates.open.is_empty() {
            drop(gates);
            return self.usable(None).map(drop);
        }
        if !self.settings.takes(model) || !gates.models.iter().any(|known| known == model) {
            let takes = gates.models.iter().filter(|name| self.settings.takes(name));
            let models: Vec<_> = takes.cloned().collect();
            let model: String = model.chars().take(80).collect();
            let detail = format!("no model here is called \"{model}\"; use {}", models.join(", "));
            return Err(Problem::new(404, "unknown-model", detail).with("models", models));
        }
        drop(gates);
        match twin_id_error(twin) {
            Some(reason) => Err(Problem::new(400, "twin-id", reason)),
            None => Ok(()),
        }
    }

    /// 503 while the engine takes no messages for a model (laws R1, P5).
    pub(super) fn check_hold(&self, model: &str) -> Result<(), Problem> {
        let reason = self.gates.read().expect(LOCK).refusals.reason(model);
        let Some(reason) = reason else { return Ok(()) };
        let secs = self.settings.retry_after_max_secs.min(5);
        Err(Problem::new(503, "held", reason).retry_after(secs))
    }

    pub(super) fn set_api_address(&self, address: String) {
        *self.api_address.write().expect(LOCK) = Some(address);
    }

    /// The keys of the own listener; the first ones stay.
    pub(super) fn set_access(&self, access: Arc<Access>) {
        self.access.get_or_init(|| access);
    }

    pub(super) fn access(&self) -> Option<&Arc<Access>> {
        self.access.get()
    }

    /// Reads the certificate of the own listener, the first time only: later it looks by itself.
    pub(super) fn open_tls(&self) -> Result<(), ConnectorError> {
        if let (Some(files), None) = (&self.settings.tls, self.tls.get()) {
            let tls = Arc::new(ServerTls::open(files)?);
            self.tls.get_or_init(|| tls);
        }
        Ok(())
    }

    pub(super) fn listen_anywhere(&self) {
        self.anywhere.store(true, Ordering::Relaxed);
    }

    pub(super) fn listens_anywhere(&self) -> bool {
        self.anywhere.load(Ordering::Relaxed)
    }

    pub(super) fn tls(&self) -> Option<&Arc<ServerTls>> {
        self.tls.get()
    }

    pub(super) fn unknown_path(&self, path: &str) -> Problem {
        let path: String = path.chars().take(80).collect();
        let mut detail = format!("there is nothing at {path}; messages go to ");
        detail.push_str("/v1/twins/{model}/{id}/messages or /v1/messages");
        if let Some(api) = self.api_address.read().expect(LOCK).as_deref() {
            detail.push_str(&format!("; the API and the page are at {api}"));
        }
        Problem::new(404, "unknown-path", detail)
    }

    /// The answer to a request with a problem.
    pub(super) fn refuse(&self, problem: Problem) -> Response<Body> {
        let number = self.problems.fetch_add(1, Ordering::Relaxed) + 1;
        problem.respond(format!("rest-{number}"))
    }
}

/// What a service learns of the engine from a link.
#[derive(Debug)]
pub(super) struct LinkFacts {
    workers: usize,
    models: Vec<String>,
    refusals: Arc<Refusals>,
}

impl LinkFacts {
    pub(super) fn of(intake: &LinkIntake) -> Self {
        Self { workers: intake.worker().1, models: intake.models(), refusals: intake.refusals() }
    }
}
