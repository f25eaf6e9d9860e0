//! A real process, killed under load: what was answered with 200 is there, once and in order.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod killed;
mod target;
