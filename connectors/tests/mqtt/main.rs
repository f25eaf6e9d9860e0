//! The MQTT connector against real brokers. Mosquitto has to be installed; every test starts its
//! own, on a free port of the loopback.
#![cfg(all(feature = "mqtt", feature = "testing"))]
#![expect(clippy::unwrap_used, reason = "tests")]

mod artemis;
mod cuts;
mod held;
mod messages;
mod mosquitto;
mod outside;
mod relay;
mod suite;
mod tls;
mod wrong;
