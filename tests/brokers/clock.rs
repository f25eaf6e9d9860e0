//! How long things take, for the lines that a run prints and for patience that ends.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

#[expect(clippy::disallowed_methods, reason = "the time that a run takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Looks every 20 ms until something holds, and fails when that takes longer than `secs`.
pub(crate) fn until(secs: u64, what: &str, mut holds: impl FnMut() -> bool) {
    let start = now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(secs), "not within {secs} s: {what}");
        sleep(Duration::from_millis(20));
    }
}
