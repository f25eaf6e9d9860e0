//! How many files and sockets the process may have open. Many systems allow 1,024 until a process
//! asks for more: a few callers could take them all, and the log could open no new file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as every connection and everything else can need.
const WANTED: u64 = 65_536;

/// Below this, connections within their own limits can use up the files.
const ENOUGH: u64 = 12_000;

/// Asks for more, as far as the system lets the process.
pub(super) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is without limit.
    let most = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    let mut now = current.unwrap_or(u64::MAX);
    if now < most {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }) {
            Ok(()) => now = most,
            Err(error) => tracing::warn!(%error, "the system lets nobody open more files"),
        }
    }
    if now < ENOUGH {
        tracing::warn!(
            files = now,
            enough = ENOUGH,
            "this process may have few files open: many connections can use them up (ulimit -n)"
        );
    }
}
