//! The dataflow of twinflow on timely dataflow.

pub mod store;
