//! The child of `--kill`: an engine that runs until its parent has gone or wants it to stop.

use std::{
    io::{self, Read},
    net::TcpListener,
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{address, engine::DemoEngine, options::DemoEngineOptions};
use crate::{error::Result, server};

/// Tries to bind the address of the engine that was killed just before.
const BIND_ATTEMPTS: u32 = 50;
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// Runs the engine until standard input ends or a signal comes.
///
/// # Errors
///
/// The address or the state directory cannot be used, or the stop was not clean.
pub fn run_engine(options: &DemoEngineOptions) -> Result<()> {
    // Whoever reads the table wants to hear of nothing less.
    server::start_log(None, "error")?;
    let runtime = super::runtime()?;
    let listener = runtime.block_on(bind(options))?;
    let engine = DemoEngine::start(&runtime, listener, options.broker(), &options.state_dir)?;
    runtime.block_on(asked_to_stop(runtime.handle()))?;
    crate::signals::exit_on_the_next(runtime.handle());
    engine.stop(&runtime).map(drop)
}

async fn bind(options: &DemoEngineOptions) -> Result<TcpListener> {
    for _ in 1..BIND_ATTEMPTS {
        if let Ok(listener) = address::bind(Some(options.listen)) {
            return Ok(listener);
        }
        tokio::time::sleep(BIND_PAUSE).await;
    }
    address::bind(Some(options.listen))
}

async fn asked_to_stop(runtime: &Handle) -> Result<()> {
    let (gone, parent_gone) = oneshot::channel();
    // A read of standard input cannot be ended; a thread of its own holds up nothing.
    drop(runtime.spawn_blocking(move || {
        drop(io::stdin().lock().read_to_end(&mut Vec::new()));
        let _nobody_waits = gone.send(()).is_err();
    }));
    tokio::select! {
        asked = crate::signals::stop_asked() => asked,
        _ = parent_gone => Ok(()),
    }
}
