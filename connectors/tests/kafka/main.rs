//! The Kafka connector against real brokers, and where those make no faults on demand against the
//! client's simulated ones.
#![cfg(all(unix, feature = "kafka", feature = "testing"))]
#![expect(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod conformance;
mod ends;
mod feedback;
mod held;
mod login;
mod place;
mod records;
mod server;
mod simulated;
mod stage;
mod starts;
