//! Connections: start, watch, pause, resume, stop. One task per slot; a broken connection is an
//! error of that connection and of nothing else.

mod session;
mod status;

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, task::JoinHandle};
use twinflow_connectors::{
    Connector, ConnectorAbout, ConnectorInfo,
    backoff::Backoff,
    error::ConnectorError,
    link::{Link, Slot},
    message::{Clock, Timestamp},
};

pub use self::status::{ConnectionState, ConnectionStatus};
use self::{
    session::{Session, Wanted},
    status::Health,
};

/// The reserved keys of a connection's table that the engine itself reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Whether it is started. Default true.
    pub enabled: bool,
    /// Milliseconds that a stop waits for its confirmations. Default 10,000.
    pub drain_timeout_ms: u64,
    /// Milliseconds before the first new try. Default 250.
    pub reconnect_backoff_ms: u64,
    /// Milliseconds before any later try at most. Default 60,000.
    pub reconnect_backoff_max_ms: u64,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            drain_timeout_ms: 10_000,
            reconnect_backoff_ms: 250,
            reconnect_backoff_max_ms: 60_000,
        }
    }
}

impl ConnectionSettings {
    fn backoff(&self) -> Backoff {
        let (first, max) = (self.reconnect_backoff_ms, self.reconnect_backoff_max_ms);
        Backoff::new(Duration::from_millis(first), Duration::from_millis(max))
    }
}

#[cfg(feature = "server")]
type ReachFuture<'a> =
    Pin<Box<dyn Future<Output = Result<twinflow_connectors::Reached, ConnectorError>> + Send + 'a>>;
type RunFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ConnectorError>> + Send + 'a>>;

/// A connector whose type was forgotten.
pub(crate) trait AnyConnector: Send {
    fn slots(&self, workers: usize) -> usize;
    fn for_slot(&mut self, number: usize) -> Option<Box<dyn AnyConnector>>;
    fn about(&self) -> ConnectorAbout;
    fn info(&self) -> ConnectorInfo;
    fn prepare(&mut self) -> Result<(), ConnectorError>;
    #[cfg(feature = "server")]
    fn reach(&mut self) -> ReachFuture<'_>;
    fn run(&mut self, link: Link) -> RunFuture<'_>;
}

impl<C: Connector> AnyConnector for C {
    fn slots(&self, workers: usize) -> usize {
        Connector::slots(self, workers)
    }

    fn for_slot(&mut self, number: usize) -> Option<Box<dyn AnyConnector>> {
        Connector::for_slot(self, number).map(|other| Box::new(other) as Box<dyn AnyConnector>)
    }

    fn about(&self) -> ConnectorAbout {
        Connector::about(self)
    }

    fn info(&self) -> ConnectorInfo {
        Connector::info(self)
    }

    fn prepare(&mut self) -> Result<(), ConnectorError> {
        Connector::prepare(self)
    }

    #[cfg(feature = "server")]
    fn reach(&mut self) -> ReachFuture<'_> {
        Box::pin(Connector::reach(self))
    }

    fn run(&mut self, link: Link) -> RunFuture<'_> {
        Box::pin(Connector::run(self, link))
    }
}

/// A connector with its name and settings, not started yet.
pub struct Connection {
    pub(crate) name: String,
    pub(crate) connector: Box<dyn AnyConnector>,
    pub(crate) settings: ConnectionSettings,
}

impl Connection {
    /// A connection that the engine will start.
    pub fn new<C: Connector>(name: &str, connector: C, settings: ConnectionSettings) -> Self {
        Self { name: name.to_owned(), connector: Box::new(connector), settings }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A connection of a running engine.
#[derive(Debug)]
struct Running {
    name: String,
    settings: ConnectionSettings,
    about: ConnectorAbout,
    info: ConnectorInfo,
    slots: Vec<Arc<Slot>>,
    health: Vec<Arc<Health>>,
    asked: Mutex<Asked>,
    wanted: watch::Sender<Wanted>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What people and the engine ask of a connection.
#[derive(Debug)]
struct Asked {
    /// By people.
    wanted: Wanted,
    /// Why the engine wants it to rest for a while.
    held: Option<String>,
}

impl Asked {
    /// What comes of both: a connection that is held rests, and goes on as people want it then.
    fn both(&self) -> Wanted {
        match self.wanted {
            Wanted::Running if self.held.is_some() => Wanted::Paused,
            wanted => wanted,
        }
    }
}

/// All connections of a running engine.
pub(crate) struct Connections {
    running: Vec<Running>,
    clock: Clock,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.running).finish()
    }
}

/// What one connection starts with: its slots are made, its positions restored.
pub(crate) struct Prepared {
    pub(crate) connection: Connection,
    pub(crate) info: ConnectorInfo,
    pub(crate) slots: Vec<Arc<Slot>>,
}

impl Connections {
    /// Starts a task per slot. They open links only now, when the first epoch is complete.
    pub(crate) fn start(prepared: Vec<Prepared>, runtime: &Handle, clock: &Clock) -> Self {
        let start = |prepared| Running::start(prepared, runtime, clock);
        Self { running: prepared.into_iter().map(start).collect(), clock: clock.clone() }
    }

    fn find(&self, name: &str) -> Option<&Running> {
        self.running.iter().find(|running| running.name == name)
    }

    /// Stops taking messages from a connection and keeps its position; `false`: no such one.
    pub(crate) fn pause(&self, name: &str) -> bool {
        self.find(name).is_some_and(|running| running.want(Wanted::Paused))
    }

    /// Goes on where it stopped; `false`: no such connection.
    pub(crate) fn resume(&self, name: &str) -> bool {
        self.find(name).is_some_and(|running| running.want(Wanted::Running))
    }

    /// The connections that this names a reason for rest, all others do as people asked.
    pub(crate) fn hold(&self, why: impl Fn(&str) -> Option<String>) {
        for running in &self.running {
            running.hold(why(&running.name));
        }
    }

    /// Where every connection is.
    pub(crate) fn status(&self) -> Vec<ConnectionStatus> {
        let now = (self.clock)();
        self.running.iter().map(|running| running.status(now)).collect()
    }

    /// Every slot with its connection's settings.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&Arc<Slot>, &ConnectionSettings)> {
        self.running
            .iter()
            .flat_map(|running| running.slots.iter().map(|slot| (slot, &running.settings)))
    }

    /// Tells all to read no more.
    pub(crate) fn drain(&self) {
        for running in &self.running {
            running.want(Wanted::Drained);
        }
    }

    /// Tells all to disconnect and waits for them, at most `limit`; the rest is cut off.
    pub(crate) async fn stop(&self, limit: Duration) {
        for running in &self.running {
            running.want(Wanted::Stopped);
        }
        let deadline = tokio::time::Instant::now() + limit;
        for running in &self.running {
            let tasks: Vec<_> = running.tasks.lock().expect("tasks").drain(..).collect();
            for mut task in tasks {
                if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                    tracing::warn!(connection = running.name, "did not stop in time, cut off");
                    task.abort();
                }
            }
        }
    }
}

impl Running {
    fn start(prepared: Prepared, runtime: &Handle, clock: &Clock) -> Self {
        let Prepared { connection, info, slots } = prepared;
        let Connection { name, mut connector, settings } = connection;
        let first = if settings.enabled { Wanted::Running } else { Wanted::Disabled };
        let wanted = watch::Sender::new(first);
        let health: Vec<Arc<Health>> = slots.iter().map(|_| Health::new(clock)).collect();
        let about = connector.about();
        let mut connectors = Vec::with_capacity(slots.len());
        for number in 1..slots.len() {
            connectors.push(connector.for_slot(number).unwrap_or_else(|| {
                panic!("connection \"{name}\" asked for slots and has none for number {number}")
            }));
        }
        connectors.insert(0, connector);
        let parts = connectors.into_iter().zip(&slots).zip(&health);
        let tasks = parts.map(|((connector, slot), health)| {
            let session = Session {
                connector,
                slot: Arc::clone(slot),
                health: Arc::clone(health),
                wanted: wanted.subscribe(),
                settings: settings.clone(),
            };
            runtime.spawn(session.run())
        });
        let tasks = Mutex::new(tasks.collect());
        let asked = Mutex::new(Asked { wanted: first, held: None });
        Self { name, settings, about, info, slots, health, asked, wanted, tasks }
    }

    /// Asks for a state; a stop is final.
    fn want(&self, wanted: Wanted) -> bool {
        let mut asked = self.asked.lock().expect("asked");
        if asked.wanted.may_become(wanted) {
            asked.wanted = wanted;
        }
        self.tell(asked.both());
        true
    }

    /// Lets it rest for a reason, or as people want it.
    fn hold(&self, why: Option<String>) {
        let mut asked = self.asked.lock().expect("asked");
        asked.held = why;
        self.tell(asked.both());
    }

    fn tell(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|now| {
            let changes = now.may_become(wanted);
            if changes {
                *now = wanted;
            }
            changes
        });
    }

    fn status(&self, now: Timestamp) -> ConnectionStatus {
        let status =
            status::status(&self.name, &self.about, &self.info, &self.slots, &self.health, now);
        let held = self.asked.lock().expect("asked").held.clone();
        ConnectionStatus { error: status.error.or(held), ..status }
    }
}
