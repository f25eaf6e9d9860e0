//! The program with a Kafka connection: cases of the behaviour, and kills under load.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod killed;
mod program;

/// The connector's own tests start the same broker.
#[path = "../../connectors/tests/kafka/server.rs"]
#[expect(dead_code, reason = "most of it is for the connector's tests")]
mod server;

#[path = "../../connectors/tests/kafka/cut.rs"]
#[expect(dead_code, reason = "only some of it is needed here")]
mod cut;
