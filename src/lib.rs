//! A stream-processing dataflow engine for real-time digital twins.

#![forbid(unsafe_code)]

pub mod config;
pub mod engine;
pub mod error;
pub mod models;
pub mod prelude;
pub mod store;

#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "server")]
pub mod server;

mod clock;
mod connections;
mod recovery;
mod signals;

pub use connections::{Connection, ConnectionSettings, ConnectionState, ConnectionStatus};
pub use engine::{Engine, EngineBuilder, EngineHandle, StoreChoice};
pub use error::{Error, Result};
#[cfg(feature = "server")]
pub use server::Server;

/// timely dataflow in the version that the engine runs on, for operators of one's own. This module
/// follows timely's versions, not ours.
pub use timely;
/// The edge: connectors, links, messages. What a connector of one's own is written with.
pub use twinflow_connectors as connectors;
/// The dataflow: what a pipeline of one's own is written with.
pub use twinflow_operators as operators;
