//! `twinflow demo`: the whole engine with simulated devices, nothing to set up.
//!
//! Half of the devices are wind turbines that heat up until their twin tells them to brake, half
//! are gas sensors whose twins raise the alarm. Each device numbers its messages, sends them by
//! HTTP, repeats what was not answered with the same key, and keeps a log. Each twin keeps the
//! numbers of what it applied. What is said about delivery compares the two: the engine's own
//! counters have no part in it. With `--kill` the engine is a process that is killed every 5 s. In
//! a build with the feature `demo-broker` half of the devices speak MQTT to a broker in this
//! process.
//!
//! Reading order: `models.rs` are the twins, `device.rs` with `turbine.rs` and `sensor.rs` the
//! devices, `fleet.rs` sends, `mqtt.rs` does it over MQTT, `check.rs` compares, `engine.rs` and
//! `supervise.rs` run the engine.

mod address;
mod answer;
mod check;
mod child;
mod client;
mod device;
mod engine;
mod fleet;
mod latency;
mod metrics;
pub mod models;
#[cfg(feature = "demo-broker")]
mod mqtt;
mod numbers;
mod options;
mod random;
mod record;
mod report;
mod samples;
mod screen;
mod sensor;
mod show;
mod state_dir;
mod supervise;
mod turbine;

use std::net::SocketAddr;

use tokio::runtime::Runtime;

pub use self::{
    child::run_engine,
    numbers::Numbers,
    options::{DemoEngineOptions, DemoOptions, DemoOutput},
};

use self::{engine::DemoEngine, show::Show, state_dir::StateDir, supervise::Supervised};
use crate::error::{Error, ErrorKind, Result};

/// Runs the demonstration and prints what it came to.
///
/// # Errors
///
/// The address is taken, the engine cannot start, or something that was acknowledged is lost: exit
/// code 1.
pub fn run(options: &DemoOptions) -> Result<()> {
    let dir = StateDir::new()?;
    let runtime = runtime()?;
    let listener = address::bind(options.listen)?;
    let at = At { address: address::of(&listener)?, broker: broker()? };
    let outcome = if options.kill {
        drop(listener);
        killed(&runtime, options, at, &dir)
    } else {
        let engine = DemoEngine::start(&runtime, listener, at.broker, dir.path())?;
        let shown = runtime.block_on(Show::new(options, at).run(None));
        let stopped = engine.stop(&runtime);
        shown.and_then(|outcome| stopped.map(|_| outcome))
    };
    outcome?.verdict()
}

/// Where everything is.
#[derive(Clone, Copy, Debug)]
struct At {
    /// The engine.
    address: SocketAddr,
    /// The broker of the devices that speak MQTT, if there are any.
    broker: Option<SocketAddr>,
}

/// Starts the broker, in a build that has one. It lives in this process, which nobody kills.
fn broker() -> Result<Option<SocketAddr>> {
    #[cfg(feature = "demo-broker")]
    return mqtt::start().map(Some);
    #[cfg(not(feature = "demo-broker"))]
    Ok(None)
}

fn killed(
    runtime: &Runtime,
    options: &DemoOptions,
    at: At,
    dir: &StateDir,
) -> Result<report::Outcome> {
    let program = std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Broken, "could not find this program's own file").because(error)
    })?;
    let mut engine = Supervised::start(program, dir.path().to_owned(), at)?;
    runtime.block_on(async {
        engine.ready().await?;
        let outcome = Show::new(options, at).run(Some(&mut engine)).await?;
        engine.stop().await?;
        Ok(outcome)
    })
}

/// The threads of the devices, and of the engine's HTTP.
fn runtime() -> Result<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("twinflow:demo")
        .enable_all()
        .build();
    built.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "could not start the threads of the devices")
            .because(error)
    })
}
