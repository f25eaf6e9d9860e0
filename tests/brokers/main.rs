//! The real program between real brokers and faults: it is killed, its connections are cut, and
//! what it did is counted from outside.
//!
//! The oracle is what the producers wrote and what the states of the twins say over HTTP; no
//! counter of the engine takes part. `cargo xtask faults` runs the `full` sizes.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clock;
mod kafka;
mod kill;
mod mqtt;
mod program;
