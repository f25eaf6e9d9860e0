//! The engine behind its REST connection, for the load client.
//!
//! Estimate: beside a bare handler a request crosses to a worker and back, two wake-ups of 5-30 us,
//! and an epoch; durable, one sync more.

use std::{net::SocketAddr, sync::Arc};

use tempfile::TempDir;
use twinflow::Engine;
use twinflow::connectors::rest::{
    Rest,
    access::{Access, Role, edit, new_key},
};

use super::models::{Counting, Outputs};
use super::store;
use crate::Result;
use crate::check::Check;
use crate::rest::MODEL;
use crate::system::{Durable, Server};

/// A running engine; dropped, it stops and its state directory goes.
#[derive(Debug)]
pub(super) struct EngineServer {
    address: SocketAddr,
    engine: Option<Engine>,
    _dir: Option<TempDir>,
    key: Option<String>,
    outputs: Arc<Outputs>,
}

impl EngineServer {
    /// Starts it on a port of loopback that is free.
    pub(super) fn start(durable: Durable, workers: usize, keyed: bool) -> Result<Self> {
        let rest = Rest::listen("127.0.0.1:0").models([MODEL]);
        let key = if keyed { Some(protect(&rest)?) } else { None };
        let address = rest.bind()?.ok_or("a REST connection with an address has a listener")?;
        let (builder, dir) = store(Engine::builder(), durable)?;
        let outputs = Arc::<Outputs>::default();
        let processor = Counting { outputs: Arc::clone(&outputs), due: None };
        let builder = builder.workers(workers).model(MODEL, processor).connection("web", rest);
        Ok(Self { address, engine: Some(builder.start()?), _dir: dir, key, outputs })
    }
}

/// Asks for a key that is bound to the model, so that each request is checked whole; gives the key.
fn protect(rest: &Rest) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("keys.toml");
    let (key, entry) = new_key([7; 37], Role::Ingest, vec![MODEL.into()], "*".into());
    edit(&file, |keys| {
        keys.push(entry);
        Ok(())
    })?;
    rest.protect(Arc::new(Access::open(&file, u32::MAX, Arc::new(|_failed| {}))?));
    Ok(key)
}

impl Server for EngineServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn check(&self) -> Option<Check> {
        Some(self.outputs.check())
    }

    fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl Drop for EngineServer {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.engine.take().map(Engine::stop) {
            eprintln!("the engine did not stop cleanly: {error}");
        }
    }
}
