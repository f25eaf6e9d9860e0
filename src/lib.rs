//! A stream-processing dataflow engine for real-time digital twins.
//!
//! Every device has a twin: an object that holds its state and runs your code on every message the
//! device sends. You write three types: the *message*, the *twin model* (its state) and the
//! *message processor*. The engine calls the processor once per twin and epoch with everything that
//! waited, makes the changed states durable, and only then acknowledges the messages to where they
//! came from.
//!
//! # A first twin
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use twinflow::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Reading {
//!     celsius: f64,
//! }
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Room {
//!     warmest: f64,
//! }
//!
//! impl TwinModel for Room {
//!     type Message<'m> = Reading;
//! }
//!
//! struct Thermostat;
//!
//! impl MessageProcessor for Thermostat {
//!     type Model = Room;
//!
//!     fn process_messages(
//!         &self,
//!         cx: &mut ProcessingContext<'_>,
//!         room: &mut Room,
//!         readings: Messages<'_, Reading>,
//!     ) -> ProcessingResult {
//!         for reading in readings {
//!             room.warmest = room.warmest.max(reading.celsius);
//!         }
//!         if room.warmest > 30.0 {
//!             cx.send_to_data_source("cool")?;
//!         }
//!         Ok(Outcome::Update)
//!     }
//! }
//!
//! // The engine's own decoding, guard and limits, on one twin, without an engine.
//! let mut room = TestTwin::new(Thermostat);
//! let call = room.call(&[r#"{"celsius": 21.5}"#, r#"{"celsius": 31.0}"#, "not JSON"]);
//! assert_eq!((call.calls, call.undecodable), (1, 1));
//! assert_eq!(call.feedback, ["cool"]);
//! ```
//!
//! # Then
//!
//! - [`Engine::builder`] assembles models, connections and a state directory; [`Engine`] is a
//!   handle that reads twins and stops cleanly.
//! - [`models`] has the stock kinds, [`store`] where twins are kept.
//! - [`connectors`] is what a connector of one's own is written with, [`operators`] a pipeline.
//!
//! # Features
//!
//! `rest` (the REST connector), `local-log` (durable state in a directory), `server` (HTTP API,
//! configuration file and command line) are on by default; `mqtt` and `kafka` add these connectors,
//! `live-views` counts, sums and averages over all twins,
//! `demo-broker` a broker to the demonstration, `testing` stores that tests hold and the
//! conformance suite for connectors; `full` is what releases are built with. `abomonation` is in no
//! release: an exchange codec between processes of one build on one machine, for measurements.

#![forbid(unsafe_code)]

#[cfg(all(feature = "abomonation", feature = "full"))]
compile_error!(
    "releases are built with `full`, and `abomonation` is never in a release: it is unsound on \
     bytes of others (docs/internals/abomonation.md)"
);

// What the derive generates names the crate, also in this one.
extern crate self as twinflow;

pub mod config;
pub mod engine;
pub mod error;
pub mod models;
pub mod prelude;
pub mod store;

/// The README's program compiles.
#[cfg(all(doctest, feature = "rest"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// So does the guide's.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide/messages.md")]
struct MessagesGuide;

#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
mod state;
#[cfg(feature = "server")]
mod supervisor;

mod clock;
mod connections;
mod fail_points;
#[cfg(feature = "testing")]
pub mod fuzz;
mod recovery;
mod signals;
#[cfg(feature = "live-views")]
mod views;

#[cfg(feature = "live-views")]
pub use twinflow_operators::view::{View, ViewKind};
#[cfg(feature = "live-views")]
pub use views::{ViewGroup, ViewListener, ViewState};

pub use connections::{Connection, ConnectionSettings, ConnectionState, ConnectionStatus};
pub use engine::{Commit, Engine, EngineBuilder, EngineHandle, StoreChoice};
pub use error::{Error, Result};
#[cfg(feature = "server")]
pub use server::Server;

/// A payload of which a declared type is made:
///
/// ```
/// use std::borrow::Cow;
/// use twinflow::{operators::json, prelude::*};
///
/// #[derive(Debug, PartialEq, TwinMessage)]
/// #[serde(rename_all = "camelCase")]
/// struct Reading<'m> {
///     bearing_celsius: f64,
///     #[serde(default)]
///     sequence: u64,
///     unit: Cow<'m, str>,
///     note: Option<String>,
/// }
///
/// let payload = br#"{"bearingCelsius": 71.5, "unit": "C", "more": [1, 2]}"#;
/// let reading: Reading<'_> = json::from_slice(payload)?;
/// assert_eq!((reading.bearing_celsius, reading.sequence, &*reading.unit), (71.5, 0, "C"));
/// # Ok::<(), json::JsonError>(())
/// ```
///
/// A type derives this or `Deserialize`, not both:
///
/// ```compile_fail,E0119
/// #[derive(twinflow::TwinMessage, serde::Deserialize)]
/// struct Reading {
///     celsius: f64,
/// }
/// ```
pub use twinflow_derive::TwinMessage;

/// timely dataflow in the version that the engine runs on, for operators of one's own. This module
/// follows timely's versions, not ours.
pub use timely;
/// The edge: connectors, links, messages. What a connector of one's own is written with.
pub use twinflow_connectors as connectors;
/// The dataflow: what a pipeline of one's own is written with.
pub use twinflow_operators as operators;
