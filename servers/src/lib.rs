//! Real servers for tests, and a network that fails on demand.
//!
//! [`Kafka`], [`Mosquitto`] and [`Artemis`] run as processes of their own on free ports of
//! loopback, each with a folder of its own; [`Proxy`] stands between one of them and a client.
//! Everything blocks; in async code call it within `spawn_blocking`.
//!
//! What was started ends when its value is dropped, and also when this process ends in any way,
//! even by SIGKILL: a shell stands between, which ends the server as soon as a pipe of ours closes.
//! No thread is special for that. Servers that are started [`Place::Fixed`] stay instead, and
//! [`end_all`] ends them.
//!
//! Jars come from Maven Central, once for a target directory. What is missing on the machine is an
//! error that names the Debian package.

#![cfg(unix)]

mod artemis;
mod broker;
mod certificates;
mod error;
mod jars;
mod kafka;
mod mosquitto;
mod place;
mod process;
mod proxy;

pub use artemis::Artemis;
pub use broker::MqttBroker;
pub use certificates::Authority;
pub use error::ServerError;
pub use kafka::{ALICE, CONNECTION_STRING, Kafka};
pub use mosquitto::{Mosquitto, Options};
pub use place::{Place, end_all};
pub use proxy::{Proxy, Watcher, Way};
