//! W3, latency: the function of W1 at a fixed rate, open loop, and the floor beneath it.
//!
//! Estimate: a plain loop finds a message at most one nap (25 us) after it was due and handles it
//! in 0.5 us, so p50 about 13 us and p99 27 us at 10,000 a second; other programs on the same
//! cores add milliseconds to the maximum. The wake floor, a value to a parked thread and back, is
//! two wake-ups of 5-30 us.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::latency::Histogram;

/// How long the floor's thread rests between two values, so that both threads are parked.
const REST: Duration = Duration::from_micros(100);

/// The due times of one source: message `j` of source `s` is message `j * sources + s` of all.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    rate: u64,
    source: u64,
    sources: u64,
}

impl Pace {
    /// The pace of `source` among `sources` that together make `rate` messages a second.
    pub fn new(start: Instant, rate: u64, source: usize, sources: usize) -> Self {
        Self { start, rate, source: source as u64, sources: sources as u64 }
    }

    /// How long after the start message `i` of all is due at `rate` a second.
    pub fn offset(rate: u64, i: u64) -> Duration {
        Duration::from_secs_f64(i as f64 / rate as f64)
    }

    /// When message `j` of this source is due, whether or not the system keeps up.
    pub fn due(&self, j: usize) -> Instant {
        let i = j as u64 * self.sources + self.source;
        self.start + Self::offset(self.rate, i)
    }
}

/// Sends `samples` values through a channel to a parked thread and back, and measures each way
/// there and back.
pub fn wake_floor(samples: usize) -> Histogram {
    let (there, arrives) = sync_channel::<usize>(1);
    let (back, returns) = sync_channel::<usize>(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for value in arrives {
                back.send(value).expect("the sender waits for its value");
            }
        });
        let mut histogram = Histogram::default();
        for sample in 0..samples {
            thread::sleep(REST);
            let sent = clock::now();
            there.send(sample).expect("the other thread waits for values");
            let returned = returns.recv().expect("the other thread sends each value back");
            histogram.record(clock::now() - sent);
            assert_eq!(returned, sample, "values come back in order");
        }
        drop(there);
        histogram
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_share_the_rate_and_are_due_in_turn() {
        let start = clock::now();
        let due = |source, j| (Pace::new(start, 1000, source, 2).due(j) - start).as_micros();
        assert_eq!([due(0, 0), due(1, 0), due(0, 1), due(1, 1)], [0, 1000, 2000, 3000]);
        assert_eq!(due(0, 1_000_000), 2_000_000_000);
    }

    #[test]
    fn the_floor_is_measured_for_each_value() {
        let floor = wake_floor(50);
        assert_eq!(floor.len(), 50);
        assert!(floor.figures().p50_us > 0.1);
    }
}
