//! The dataflow of twinflow on timely dataflow.
//!
//! Operators are verbs in data order: `source`, `process`, `persist`, `commit`, `send`,
//! `acknowledge`. Two frontiers are visible: *processed*, a probe behind `process`, and
//! *committed*, a probe behind `send`. Acknowledgement follows the second one and nothing else.
//!
//! No sockets, no async and no clock of its own: time is passed in.

pub mod dead_letter;
pub mod quarantine;
pub mod store;

pub mod context;
pub mod json;
pub mod message;
pub mod model;
pub mod models;

#[cfg(feature = "abomonation")]
pub mod abom;
pub mod activity;
pub mod clock;
pub mod feed;
pub mod frame;
#[cfg(feature = "testing")]
pub mod fuzz;
pub mod pipeline;
pub mod progress;
pub mod recover;
pub mod tap;
#[cfg(feature = "live-views")]
pub mod view;
pub mod worker;

pub use twinflow_connectors::mistakes;

mod acknowledge;
mod commit;
mod gathered;
mod ledger;
mod persist;
mod process;
mod send;
mod source;

pub use process::{
    ModelSettings, ModelStatistics, OnFailure, TwinPage, in_guarded_call,
    testing::{Call, TestMessage, TestTwin},
};
