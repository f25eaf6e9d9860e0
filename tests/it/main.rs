//! The engine through its public API, with the in-process broker: delivery, grouping, dead letters,
//! acknowledgement, reads.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod common;
mod delivery;
mod examples;
mod grouping;
mod held;
mod hot;
mod laws;
mod pipelines;
mod property;
mod restart;
mod sweeping;
#[cfg(feature = "live-views")]
mod views;
