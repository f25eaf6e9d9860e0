//! The one file of this crate that reads the clock and sleeps.
//!
//! Estimate: reading the clock costs 20-30 ns, and a nap of 20 us lasts about 25 us once the
//! kernel's timer slack (50 us by default) is taken away, else about 75 us.

use std::thread;
use std::time::{Duration, Instant};

/// The longest nap of a paced source, as all contestants of W3 use it.
pub const NAP: Duration = Duration::from_micros(20);

/// The time now, from the steady clock.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures by the machine's own clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since `start`.
pub fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// Waits for `due` in naps of at most [`NAP`] and returns the time read last, at or after `due`.
///
/// `last` is a time the caller has just read: nothing is read again when `due` has passed by then.
pub fn nap_until(due: Instant, last: Instant) -> Instant {
    let mut now = last;
    while now < due {
        thread::sleep(NAP.min(due - now));
        now = self::now();
    }
    now
}

/// Lets this thread, and those it starts later, wake from a nap without the kernel's usual slack.
///
/// Where the kernel does not offer this, naps are longer, for every system alike.
pub fn sharpen_naps() {
    if let Err(error) = std::fs::write("/proc/self/timerslack_ns", "1") {
        eprintln!("naps keep the kernel's timer slack: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nap_never_ends_early() {
        let start = now();
        let due = start + Duration::from_micros(300);
        assert!(nap_until(due, start) >= due);
    }

    #[test]
    fn a_time_gone_by_is_not_waited_for() {
        let start = now();
        assert_eq!(nap_until(start, start), start);
    }
}
