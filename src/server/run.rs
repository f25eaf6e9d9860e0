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
use twinflow_connectors::rest::{ServeLimits, serve};

use super::{
    api::{self, Api, ApiSettings},
    banner::banner,
    listeners,
    mount::{Binding, Mounts},
};
use crate::{
    Engine, StoreChoice,
    config::{Config, StateSettings, StoreKind},
    engine::{Report, Stopped, Supervision},
    error::{Error, ErrorKind, Result},
    operators::models::Models,
    supervisor::{Child, Inherited, Listener},
};

/// Runs until a signal, with what the supervisor handed over if there is one; says what was left.
///
/// # Errors
///
/// The configuration cannot work, an address is taken, the state cannot be used, or the engine
/// could not stop cleanly.
pub(super) fn run(config: Config, child: Option<(Child, Inherited)>) -> Result<Stopped> {
    let Some((child, Inherited { listeners, note })) = child else {
        return serve_until_stopped(config, Vec::new(), Supervision::default());
    };
    let teller = child.clone();
    let supervision = Supervision {
        careful: note.careful,
        suspect: note.suspect,
        tell: Arc::new(move |report| teller.tell(report)),
    };
    let stopped = serve_until_stopped(config, listeners, supervision);
    if stopped.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced) {
        child.tell(Report::Final);
    }
    stopped
}

fn serve_until_stopped(
    config: Config,
    inherited: Vec<Listener>,
    supervision: Supervision,
) -> Result<Stopped> {
    let own = listeners::adopt(&config, inherited);
    let mounts = Mounts::of(&config.connections, Binding::Now)?;
    let (listener, address) = own.map_or_else(|| listen(&config), Ok)?;
    for rest in &mounts.all {
        rest.api_address(format!("http://{address}"));
    }
    say(&banner(&config, address, &mounts));
    let runtime = runtime()?;
    let api = Api::new(ApiSettings {
        elsewhere: mounts.listening.iter().map(|(_, address)| address.to_string()).collect(),
        takes_messages: mounts.mounted.is_some(),
        run: run_id()?,
    });
    let router = mounts.mounted.map(|(_name, router)| router);
    let server = Serving::start(&runtime, listener, api::router(&api, router))?;

    // Who asks to stop while the engine starts is heard as soon as it runs.
    let stop_asked = {
        let _entered = runtime.enter();
        crate::signals::listen()?
    };
    let engine = start(config, supervision)?;
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

fn runtime() -> Result<Runtime> {
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

fn start(config: Config, supervision: Supervision) -> Result<Engine> {
    let mut models = Models::new();
    for model in config.models {
        models = model.processor.add_to(models, &model.name, model.settings);
    }
    let connections = config.connections.into_iter().map(|connection| {
        let settings = connection.options.for_engine(&*connection.connector);
        connection.connector.into_connection(&connection.name, settings)
    });
    Engine::builder()
        .models(models)
        .connections(connections)
        .workers(config.server.workers.get())
        .wait_ms(u64::try_from(config.server.wait.as_millis()).unwrap_or(u64::MAX))
        .stall_secs(config.server.stall_secs)
        .store(store(config.state))
        .supervision(supervision)
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
        let (stop, stopped) = oneshot::channel::<()>();
        let _entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "could not watch the listener").because(error)
        })?;
        let stopped = async { drop(stopped.await) };
        let task = runtime.spawn(serve(
            listener,
            router,
            Arc::new(|_| None),
            ServeLimits::default(),
            stopped,
        ));
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
