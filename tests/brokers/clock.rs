//! How long things take, what a run prints, and patience that ends.

use std::{
    thread::sleep,
    time::{Duration, Instant, SystemTime},
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

/// The wall clock, in nanoseconds since 1970, as other processes of this machine see it.
#[expect(clippy::disallowed_methods, reason = "compared with what another process wrote")]
pub(crate) fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// A message whose sender was told that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) id: u64,
    /// Whether it was sent only once.
    pub(crate) first: bool,
    /// When it was sent, the last time, by [`wall_nanos`].
    pub(crate) sent: u64,
    /// When its sender was told.
    pub(crate) at: u64,
}
