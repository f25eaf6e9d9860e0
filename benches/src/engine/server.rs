//! The engine behind its REST connection, for the load client.
//!
//! Estimate: beside a bare handler a request crosses to a worker and back, two wake-ups of 5-30 us,
//! and an epoch; durable, one sync more.

use std::net::SocketAddr;

use tempfile::TempDir;
use twinflow::Engine;
use twinflow::connectors::rest::Rest;

use super::models::Counting;
use super::store;
use crate::Result;
use crate::rest::MODEL;
use crate::system::{Durable, Server};

/// A running engine; dropped, it stops and its state directory goes.
#[derive(Debug)]
pub(super) struct EngineServer {
    address: SocketAddr,
    engine: Option<Engine>,
    _dir: Option<TempDir>,
}

impl EngineServer {
    /// Starts it on a port of loopback that is free.
    pub(super) fn start(durable: Durable, workers: usize) -> Result<Self> {
        let rest = Rest::listen("127.0.0.1:0").models([MODEL]);
        let address = rest.bind()?.ok_or("a REST connection with an address has a listener")?;
        let (builder, dir) = store(Engine::builder(), durable)?;
        let processor = Counting { outputs: std::sync::Arc::default(), due: None };
        let builder = builder.workers(workers).model(MODEL, processor).connection("web", rest);
        Ok(Self { address, engine: Some(builder.start()?), _dir: dir })
    }
}

impl Server for EngineServer {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EngineServer {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.engine.take().map(Engine::stop) {
            eprintln!("the engine did not stop cleanly: {error}");
        }
    }
}
