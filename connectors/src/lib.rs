//! The edge of twinflow: what connects devices and brokers to the dataflow.
//!
//! A [`Connector`] is one loop over its network and a [`link::Link`]. It knows nothing of epochs,
//! twins or timely; it delivers batches, gets receipts acknowledged in order once their effect is
//! durable, and turns those into whatever its upstream wants: a PUBACK, an offset, an HTTP 200.
//!
//! Modules in the order of a message's way in: [`message`], [`route`], [`row`], [`frame`],
//! [`link`]; then what connectors share, then the connectors.

pub mod answer;
pub mod backoff;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod error;
pub mod frame;
#[cfg(feature = "testing")]
pub mod fuzz;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod link;
pub mod listen;
pub mod memory;
pub mod message;
pub mod mistakes;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(any(feature = "kafka", feature = "mqtt"))]
mod pointer;
pub mod prefetch;
#[cfg(feature = "rest")]
pub mod rest;
pub mod route;
pub mod row;
#[cfg(any(feature = "mqtt", feature = "rest"))]
pub mod tls;
pub mod unacknowledged;

mod connector;

pub use connector::{
    ConfigurableConnector, Connector, ConnectorAbout, ConnectorInfo, Guarantee, PartitionEnds,
    Reached, Registry,
};

/// Every connector of this build, for a configuration to name; third parties add theirs.
pub fn registry<R: Registry>(list: R) -> R {
    #[cfg(feature = "kafka")]
    let list = list.with::<kafka::Kafka>();
    #[cfg(feature = "mqtt")]
    let list = list.with::<mqtt::Mqtt>();
    #[cfg(feature = "rest")]
    let list = list.with::<rest::Rest>();
    list
}

/// The README's connector is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
