//! twinflow.

pub mod store;
