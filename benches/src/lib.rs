//! Workloads W1 to W4 and REST, each beside its own limit: a plain program without an engine.

#![expect(clippy::print_stdout, reason = "results go to standard output")]

pub mod args;
pub mod bench;
pub mod check;
pub mod clock;
pub mod data;
pub mod drain;
pub mod draw;
pub mod engine;
pub mod grid;
pub mod latency;
pub mod limit;
pub mod memory;
pub mod meter;
pub mod payload;
pub mod plots;
pub mod profile;
pub mod record;
pub mod rest;
pub mod result;
pub mod states;
pub mod system;
pub mod through;
pub mod w1;
pub mod w2;
pub mod w3;
pub mod w4;

/// As in the program `twinflow`, for limit and engine alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What went wrong, for a person to read.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result whose failure a person reads.
pub type Result<T> = std::result::Result<T, Error>;
