//! The Kafka connector against real brokers.
#![cfg(all(feature = "kafka", feature = "testing"))]
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod cut;
mod place;
mod server;
