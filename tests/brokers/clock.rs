//! How long things take, what a run prints, and patience that ends.

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

/// Prints a line of the result.
#[expect(clippy::print_stdout, reason = "what a run counted is its result")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
