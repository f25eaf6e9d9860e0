//! The REST connector against a dataflow that the test moves by hand, over real sockets.
#![cfg(feature = "rest")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod batches;
mod client;
mod connections;
mod fake;
mod feedback;
mod keys;
mod limits;
mod refusals;
mod tls;
