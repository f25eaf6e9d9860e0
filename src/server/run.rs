//! `twinflow run`: from a checked configuration to a drained stop.
//!
//! The listener answers before the engine recovers: `/readyz` says that it is starting, and who
//! posts gets 503 instead of a refused connection.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};
use twinflow_connectors::{
    listen::exposed,
    rest::{Listening, ServeLimits, ServerTls, serve},
};

use super::{
    alerts::Alerts,
    api::{self, Api, ApiSettings},
    audit::Audit,
    banner::banner,
    files, keys, listeners,
    mount::{Binding, Doors, Mounts},
};
use crate::{
    Engine, StoreChoice,
    config::{Config, StateSettings, StoreKind},
    engine::{Recovering, Report, Stopped, Supervision},
    error::{Error, ErrorKind, Result},
    operators::models::Models,
    supervisor::{Child, Inherited, Listener},
};

/// What a start is asked for beside the file.
#[derive(Clone, Debug, Default)]
pub(super) struct StartOptions {
    /// Everything behind this epoch is given up, if the log is damaged.
    pub(super) recover_from: Option<u64>,
    /// What the file lacks is kept.
    pub(super) keep_unknown: bool,
    /// Live views of the program.
    #[cfg(feature = "live-views")]
    pub(super) views: Vec<crate::View>,
}

/// Runs until a signal, with what the supervisor handed over if there is one; says what was left.
///
/// # Errors
///
/// The configuration cannot work, an address is taken, the state cannot be used, or the engine
/// could not stop cleanly.
pub(super) fn run(
    config: Config,
    insecure: bool,
    child: Option<(Child, Inherited)>,
    options: StartOptions,
) -> Result<Stopped> {
    let Some((child, Inherited { listeners, note })) = child else {
        let supervision = Supervision::default();
        return serve_until_stopped(config, insecure, Vec::new(), supervision, options);
    };
    let teller = child.clone();
    let supervision = Supervision {
        careful: note.careful,
        suspect: note.suspect,
        tell: Arc::new(move |report| teller.tell(report)),
    };
    let stopped = serve_until_stopped(config, insecure, listeners, supervision, options);
    if stopped.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced) {
        child.tell(Report::Final);
    }
    stopped
}

fn serve_until_stopped(
    config: Config,
    insecure: bool,
    inherited: Vec<Listener>,
    supervision: Supervision,
    options: StartOptions,
) -> Result<Stopped> {
    files::raise_limit();
    let audit = Arc::new(Audit::new(&config.state.dir));
    let access = keys::open(&config.server, &audit)?;
    let doors = Doors { access: access.clone(), insecure };
    let mut alerts = Alerts::default();
    alerts.exposed.extend(open_to_all(&config, &doors)?);
    let tls = open_tls(&config)?;
    let own = listeners::adopt(&config, inherited);
    let mounts = Mounts::of(&config.connections, Binding::Now, &doors)?;
    alerts.exposed.extend(mounts.exposed.iter().cloned());
    let (listener, address) = own.map_or_else(|| listen(&config), Ok)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    for (_name, rest) in &mounts.all {
        rest.api_address(format!("{scheme}://{address}"));
    }
    alerts.certificates = certificates(&tls, &mounts);
    say(&banner(&config, &format!("{scheme}://{address}"), &mounts));
    let runtime = runtime()?;
    let recovering = Arc::<Recovering>::default();
    let api = Api::new(ApiSettings {
        elsewhere: mounts.listening.iter().map(|(_, address)| address.to_string()).collect(),
        takes_messages: mounts.mounted.is_some(),
        run: run_id()?,
        access,
        audit: Some(audit),
        is_reachable: !address.ip().is_loopback(),
        certificates: alerts.certificates.clone(),
        recovering: Arc::clone(&recovering),
    });
    let router = mounts.mounted.map(|(_name, router)| router);
    let server = Serving::start_with(&runtime, listener, api::router(&api, router), tls)?;
    alerts.start(&runtime);

    // Who asks to stop while the engine starts is heard as soon as it runs.
    let stop_asked = {
        let _entered = runtime.enter();
        crate::signals::listen()?
    };
    let engine = start(config, supervision, options, recovering)?;
    api.started(engine.handle());
    tracing::info!("ready");
    runtime.block_on(stop_asked);

    tracing::info!("stopping: draining; a second signal stops at once");
    crate::signals::exit_on_the_next(runtime.handle());
    api.stopping();
    let stopped = engine.stop();
    server.stop(&runtime);
    stopped
}

/// The address of the API if everybody may use it.
///
/// # Errors
///
/// Everybody could, and nobody said that they may.
pub(super) fn open_to_all(config: &Config, doors: &Doors) -> Result<Option<(String, SocketAddr)>> {
    let address = config.server.listen;
    match exposed(address, config.server.tls.is_some(), doors.access.is_some()) {
        Some(_) if doors.insecure => Ok(Some(("api".into(), address))),
        Some(why) => Err(Error::misconfigured(format!(
            "server.listen: could not {why}; --insecure-listen opens it to everybody"
        ))),
        None => Ok(None),
    }
}

/// The certificate of the API.
pub(super) fn open_tls(config: &Config) -> Result<Option<Arc<ServerTls>>> {
    let tls = config.server.tls.as_ref().map(ServerTls::open).transpose();
    let tls = tls.map_err(|error| Error::misconfigured("server.tls").because(error))?;
    Ok(tls.map(Arc::new))
}

/// All certificates, by the names of their listeners.
fn certificates(api: &Option<Arc<ServerTls>>, mounts: &Mounts) -> Vec<(String, Arc<ServerTls>)> {
    let api = api.iter().map(|tls| ("api".to_owned(), Arc::clone(tls)));
    let named =
        mounts.all.iter().filter_map(|(name, rest)| Some((name.clone(), Arc::clone(rest.tls()?))));
    api.chain(named).collect()
}

/// The listener of the API, and its address with the port that was chosen for port 0.
pub(super) fn listen(config: &Config) -> Result<(TcpListener, SocketAddr)> {
    let address = config.server.listen;
    let cannot = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Misconfigured,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("could not listen on {address}")).because(error)
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok((listener, address))
}

/// Threads of a server, or of who asks for one.
pub(super) fn runtime() -> Result<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("twinflow:api")
        .enable_all()
        .build();
    built.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "could not start the threads of the API").because(error)
    })
}

/// What the request ids of this run begin with.
pub(crate) fn run_id() -> Result<String> {
    let mut bytes = [0; 3];
    getrandom::fill(&mut bytes).map_err(|error| {
        let what = "the operating system has no random bytes";
        Error::new(ErrorKind::Unavailable, what).because(error.to_string())
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn start(
    config: Config,
    supervision: Supervision,
    options: StartOptions,
    recovering: Arc<Recovering>,
) -> Result<Engine> {
    let mut models = Models::new();
    for model in config.models {
        models = model.processor.add_to(models, &model.name, model.settings);
    }
    let connections = config.connections.into_iter().map(|connection| {
        let settings = connection.options.for_engine(&*connection.connector);
        connection.connector.into_connection(&connection.name, settings)
    });
    let builder = Engine::builder();
    #[cfg(feature = "live-views")]
    let builder = options.views.into_iter().fold(builder, crate::EngineBuilder::view);
    builder
        .models(models)
        .connections(connections)
        .workers(config.server.workers.get())
        .wait_ms(u64::try_from(config.server.wait.as_millis()).unwrap_or(u64::MAX))
        .stall_secs(config.server.stall_secs)
        .store(store(config.state))
        .keep_unknown(options.keep_unknown)
        .recover_from(options.recover_from)
        .supervision(supervision)
        .recovering(recovering)
        .start()
}

fn store(state: StateSettings) -> StoreChoice {
    match state.store {
        StoreKind::Memory => StoreChoice::Memory,
        StoreKind::Log => StoreChoice::Log {
            dir: state.dir,
            segment_bytes: Some(state.segment_bytes),
            commit: state.commit,
        },
    }
}

/// The accept loop of the API.
pub(crate) struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    pub(crate) fn start(
        runtime: &Runtime,
        listener: TcpListener,
        router: axum::Router,
    ) -> Result<Self> {
        Self::start_with(runtime, listener, router, None)
    }

    fn start_with(
        runtime: &Runtime,
        listener: TcpListener,
        router: axum::Router,
        tls: Option<Arc<ServerTls>>,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "could not watch the listener").because(error)
        })?;
        let stopped = async { drop(stopped.await) };
        let address = listener.local_addr().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the listener has no address").because(error)
        })?;
        let limits = ServeLimits::default().listening_on(address);
        let listening = Listening { router, refuse: Arc::new(|_| None), limits, tls };
        let task = runtime.spawn(serve(listener, listening, stopped));
        Ok(Self { stop, task })
    }

    pub(crate) fn stop(self, runtime: &Runtime) {
        drop(self.stop);
        if let Err(error) = runtime.block_on(self.task) {
            tracing::error!(%error, "the accept loop of the API ended");
        }
    }
}

/// Writes to standard error; who closed it wants no banner.
fn say(text: &str) {
    let mut out = io::stderr().lock();
    let _closed = out.write_all(text.as_bytes()).is_err();
}
