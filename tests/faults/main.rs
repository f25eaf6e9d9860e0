//! Real requests and real processes: callers that go at any byte, kills under load, many epochs.
//! What was answered with 200 is there, once and in order.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod callers;
mod client;
mod killed;
mod soak;
mod target;
