//! A stream-processing dataflow engine for real-time digital twins.

#![forbid(unsafe_code)]

pub mod config;
pub mod models;
pub mod prelude;
pub mod store;

pub use twinflow_connectors as connectors;
pub use twinflow_operators as operators;
