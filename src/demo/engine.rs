//! The engine of the demonstration: two models, one REST connection, with a broker one MQTT
//! connection, and the server's API.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
};

use tokio::runtime::Runtime;

use super::models::{GAS_SENSORS, SensorWatch, TURBINES, TurbineWatch};
use crate::{
    Engine, EngineBuilder,
    connectors::rest::Rest,
    engine::Stopped,
    error::Result,
    models::gas_sensor::GasWatch,
    server::{self, Api, ApiSettings, Serving},
};

/// How long a key is remembered: many times longer than any device goes on repeating.
pub(super) const KEYS_KEEP_SECS: u64 = 120;
/// A sensor may be above its limit for so long: short enough to see it happen.
const LIMIT_SECS: u64 = 5;

/// A running engine that answers.
pub(super) struct DemoEngine {
    engine: Engine,
    api: Api,
    serving: Serving,
}

impl DemoEngine {
    /// Starts to answer, then starts the engine; the twins are those of the directory.
    pub(super) fn start(
        runtime: &Runtime,
        listener: TcpListener,
        broker: Option<SocketAddr>,
        dir: &Path,
    ) -> Result<Self> {
        let rest = Rest::mounted().with(|rest| rest.idempotency_keep_secs = KEYS_KEEP_SECS);
        let (run, takes_messages) = (server::run_id()?, true);
        let api = Api::new(ApiSettings { takes_messages, run, ..ApiSettings::default() });
        let router = server::router(&api, Some(rest.router()));
        let serving = Serving::start(runtime, listener, router)?;
        let sensors = GasWatch { limit_secs: LIMIT_SECS, ..GasWatch::default() };
        let builder = Engine::builder()
            .model(TURBINES, TurbineWatch::default())
            .model(GAS_SENSORS, SensorWatch(sensors))
            .connection("web", rest)
            .state_dir(dir);
        let engine = with_broker(builder, broker)?.start()?;
        api.started(engine.handle());
        Ok(Self { engine, api, serving })
    }

    /// Drains and ends.
    pub(super) fn stop(self, runtime: &Runtime) -> Result<Stopped> {
        self.api.stopping();
        let stopped = self.engine.stop();
        self.serving.stop(runtime);
        stopped
    }
}

#[cfg(feature = "demo-broker")]
fn with_broker(builder: EngineBuilder, broker: Option<SocketAddr>) -> Result<EngineBuilder> {
    match broker {
        Some(broker) => super::mqtt::connect(builder, broker),
        None => Ok(builder),
    }
}

#[cfg(not(feature = "demo-broker"))]
fn with_broker(builder: EngineBuilder, broker: Option<SocketAddr>) -> Result<EngineBuilder> {
    assert!(broker.is_none(), "a build without a broker has no address of one");
    Ok(builder)
}
