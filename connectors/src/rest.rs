//! HTTP: devices post messages and get the twin's replies in the answer, after the commit.
//!
//! [`Rest`] is one connection. Its slots, one a worker, share one service: the handler of a request
//! chooses the slot whose worker owns the twin, so that its message is not exchanged, delivers, and
//! waits for the acknowledgement of its receipt. By law D1 the answer is complete then.
//!
//! Reading order: this file, `rest/routes.rs`, `rest/post.rs`, `rest/deliver.rs`,
//! `rest/waiters.rs`, `rest/gate.rs`; then `rest/replies.rs` and `rest/feedback.rs` for what twins
//! send, and `rest/serve.rs` for the accept loop.

pub mod access;
mod address;
mod body;
mod deliver;
mod depth;
mod feedback;
mod fetch;
#[cfg(feature = "testing")]
mod fuzz;
mod gate;
mod ndjson;
mod payloads;
mod post;
mod problem;
mod reload;
mod replies;
mod routes;
mod serve;
mod service;
mod settings;
mod socket;
mod time;
mod tls;
mod waiters;
mod watch;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::Router;
use tokio::sync::oneshot;

#[cfg(feature = "testing")]
pub(crate) use fuzz::targets as fuzz_targets;
pub use routes::{ROUTES, foreign};
pub use serve::{Listening, Refuse, ServeLimits, serve};
pub use settings::RestSettings;
pub use tls::ServerTls;
pub use watch::peer;

use self::{
    access::Access,
    gate::Gate,
    replies::Home,
    service::{LinkFacts, Service},
};
use crate::{
    connector::{ConfigurableConnector, Connector, ConnectorAbout, ConnectorInfo, Guarantee},
    error::{ConnectorError, ErrorKind},
    link::Link,
    listen::{exposed, fits},
    message::Format,
};

/// Feedback that nobody fetches is stored, so a stop does not wait for its data source.
const DRAIN_TIMEOUT_MS: u64 = 1000;

/// A REST connection: answers requests after their commit.
///
/// ```no_run
/// use twinflow_connectors::rest::Rest;
///
/// let web = Rest::listen("127.0.0.1:7701").models(["turbines"]).wait_ms(2_000);
/// web.bind().expect("the port is free");
/// ```
#[derive(Clone, Debug)]
pub struct Rest {
    service: Arc<Service>,
    sockets: Arc<Mutex<Sockets>>,
    slot: usize,
}

/// The own listener between sessions.
#[derive(Debug, Default)]
struct Sockets {
    /// What [`Rest::bind`] made and no session has taken yet.
    bound: Option<std::net::TcpListener>,
    /// What [`Rest::adopt`] was given: every session listens on it.
    adopted: Option<std::net::TcpListener>,
}

impl Rest {
    /// A connection with its own listener, for example on `127.0.0.1:7701`.
    ///
    /// The address is looked at by [`Rest::bind`], or else when the first session starts.
    pub fn listen(address: impl Into<String>) -> Self {
        Self::new(RestSettings { listen: Some(address.into()), ..RestSettings::default() })
    }

    /// A connection without a listener: a server has to mount [`Rest::router`].
    pub fn mounted() -> Self {
        Self::new(RestSettings::default())
    }

    fn new(settings: RestSettings) -> Self {
        Self { service: Service::new(settings), sockets: Arc::default(), slot: 0 }
    }

    /// Takes messages for these models only; `"*"`, the default, is every model.
    #[must_use]
    pub fn models(self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let models = models.into_iter().map(Into::into).collect();
        self.with(|settings| settings.models = models)
    }

    /// Answers 504 when a message is not committed after so many milliseconds (default 10,000).
    #[must_use]
    pub fn wait_ms(self, millis: u64) -> Self {
        self.with(|settings| settings.wait_ms = millis)
    }

    /// Changes any setting before the connection is used.
    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut RestSettings)) -> Self {
        let mut settings = self.service.settings.clone();
        change(&mut settings);
        Self::new(settings)
    }

    /// Binds the own listener, so that a port in use is an error before the engine starts; gives
    /// the address, with the port that was chosen for port 0. `None` without an own listener.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`] for settings that cannot work and for an address that other
    /// machines reach without TLS and keys, [`ErrorKind::Unreachable`] naming an address that is in
    /// use.
    pub fn bind(&self) -> Result<Option<SocketAddr>, ConnectorError> {
        self.service.settings.check()?;
        let Some(address) = self.service.settings.address()? else { return Ok(None) };
        if let Some(why) = self.exposed(address) {
            return Err(ConnectorError::new(ErrorKind::Misconfigured, why));
        }
        self.service.open_tls()?;
        let mut sockets = self.sockets();
        let listener = match (sockets.bound.take(), &sockets.adopted) {
            (Some(listener), _) => listener,
            (None, Some(adopted)) => {
                adopted.try_clone().map_err(|error| cannot_listen(address, error))?
            }
            (None, None) => bind(address)?,
        };
        let address = listener.local_addr().map_err(|error| cannot_listen(address, error))?;
        sockets.bound = Some(listener);
        Ok(Some(address))
    }

    /// Listens on a socket that a supervisor bound and keeps, in place of one of its own; `false`
    /// when its address is not the one of the settings. Between two sessions clients wait in its
    /// backlog.
    pub fn adopt(&self, listener: std::net::TcpListener) -> bool {
        let wanted = self.service.settings.address().ok().flatten();
        let both = wanted.zip(listener.local_addr().ok());
        let is_it = both.is_some_and(|(wanted, bound)| fits(wanted, bound));
        if is_it {
            self.sockets().adopted = Some(listener);
        }
        is_it
    }

    /// The socket that [`Rest::bind`] made, once more; `None` without one.
    ///
    /// # Errors
    ///
    /// The operating system has no descriptor left.
    pub fn listener(&self) -> io::Result<Option<std::net::TcpListener>> {
        self.sockets().bound.as_ref().map(std::net::TcpListener::try_clone).transpose()
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().expect("only set and taken")
    }

    /// Why its own listener may not be opened: other machines could reach it, and it has not both
    /// TLS and keys ([`Rest::protect`]).
    pub fn exposed(&self, address: SocketAddr) -> Option<String> {
        let service = &self.service;
        let (tls, keys) = (service.settings.tls.is_some(), service.access().is_some());
        exposed(address, tls, keys).filter(|_| !service.listens_anywhere())
    }

    /// The address of the own listener, as the settings have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`]: it is none.
    pub fn listens_on(&self) -> Result<Option<SocketAddr>, ConnectorError> {
        self.service.settings.address()
    }

    /// Opens the own listener to other machines even without TLS and keys: everybody on the network
    /// can then read along and do everything.
    pub fn listen_insecurely(&self) {
        self.service.listen_anywhere();
    }

    /// The paths of this connection, to be merged into another server's; they answer 503 while no
    /// session is open. They have no fallback and do not look at `Host`: that is the server's.
    pub fn router(&self) -> Router {
        routes::paths(&self.service)
    }

    /// Where the API and the page are: the 404 of the own listener names it.
    pub fn api_address(&self, address: impl Into<String>) {
        self.service.set_api_address(address.into());
    }

    /// From now on only callers with a key are let in by the own listener. The routes of
    /// [`Rest::router`] are protected by the server that mounts them.
    pub fn protect(&self, access: Arc<Access>) {
        self.service.set_access(access);
    }

    /// The certificate of the own listener, once [`Rest::bind`] has read it.
    pub fn tls(&self) -> Option<&Arc<ServerTls>> {
        self.service.tls()
    }

    /// Whether the program's own server has to mount [`Rest::router`].
    pub fn needs_mounting(&self) -> bool {
        self.service.settings.listen.is_none()
    }

    /// Serves the own listener while `session` runs.
    async fn serve_while(&self, session: impl Future<Output = ()>) -> Result<(), ConnectorError> {
        let Some(address) = self.bind()? else {
            session.await;
            return Ok(());
        };
        let bound = self.sockets().bound.take();
        let listener = bound.expect("bound just before, and only slot 0 takes it");
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener))
            .map_err(|error| cannot_listen(address, error))?;
        tracing::info!(%address, "listening");
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let limits = self.service.settings.serve_limits(address);
        let service = Arc::clone(&self.service);
        let is_reachable = !address.ip().is_loopback();
        let serving = serve(
            listener,
            Listening {
                router: routes::own_listener(&self.service),
                refuse: Arc::new(move |request| {
                    routes::check_host(&service, is_reachable, request)
                }),
                limits,
                tls: self.service.tls().cloned(),
            },
            stopped,
        );
        let session = async {
            session.await;
            drop(stop);
        };
        tokio::join!(serving, session);
        Ok(())
    }
}

impl Connector for Rest {
    fn slots(&self, workers: usize) -> usize {
        workers
    }

    fn for_slot(&mut self, number: usize) -> Option<Self> {
        Some(Self { slot: number, ..self.clone() })
    }

    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            format: Format::Json,
            answers: true,
            dedupe_keep_secs: Some(self.service.settings.idempotency_keep_secs),
            guarantee: Guarantee::AtLeastOnce,
            feedback_expiry_secs: None,
            drain_timeout_ms: Some(DRAIN_TIMEOUT_MS),
        }
    }

    fn about(&self) -> ConnectorAbout {
        let sockets = self.sockets();
        let bound = sockets.bound.as_ref().and_then(|listener| listener.local_addr().ok());
        let scheme = if self.service.settings.tls.is_some() { "https" } else { "http" };
        let address = bound.map(|address| format!("{scheme}://{address}"));
        ConnectorAbout { kind: Self::TYPE, address }
    }

    fn prepare(&mut self) -> Result<(), ConnectorError> {
        self.bind().map(drop)
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        self.service.settings.check()?;
        let Link { intake, mut events } = link;
        let facts = LinkFacts::of(&intake);
        let mailboxes = Arc::clone(&self.service.mailboxes);
        let gate = Gate::new(intake, Home { confirmer: events.confirmer(), mailboxes });
        let session = async {
            let _open = OpenGate::new(&self.service, &gate, &facts);
            gate.follow(&mut events, &self.service).await;
        };
        if self.slot == 0 {
            self.serve_while(session).await
        } else {
            session.await;
            Ok(())
        }
    }
}

impl ConfigurableConnector for Rest {
    const TYPE: &'static str = "rest";
    const ABOUT: &'static str =
        "HTTP: POST messages, the answer after the commit has the twin's replies";
    type Settings = RestSettings;

    fn from_settings(settings: RestSettings) -> Result<Self, ConnectorError> {
        settings.check()?;
        settings.address()?;
        Ok(Self::new(settings))
    }
}

/// A gate that requests may choose, until this is dropped.
struct OpenGate<'r> {
    service: &'r Service,
    gate: &'r Arc<Gate>,
}

impl<'r> OpenGate<'r> {
    fn new(service: &'r Service, gate: &'r Arc<Gate>, facts: &LinkFacts) -> Self {
        service.open(gate, facts);
        Self { service, gate }
    }
}

impl Drop for OpenGate<'_> {
    fn drop(&mut self) {
        self.service.close(self.gate);
    }
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, ConnectorError> {
    std::net::TcpListener::bind(address).map_err(|error| cannot_listen(address, error))
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> ConnectorError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Misconfigured,
        _ => ErrorKind::Unreachable,
    };
    ConnectorError::new(kind, format!("listen on {address}")).because(error)
}
