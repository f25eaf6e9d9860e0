//! How long to wait before the next try: doubling, with jitter, bounded.

use std::time::Duration;

/// Waiting times between tries of one connection.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Starts with `first` and never waits longer than `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max: max.max(first), tries: 0 }
    }

    /// The next waiting time; `random` spreads it over half to all of the doubled time, so that a
    /// thousand clients of a restarted broker do not come back together.
    pub fn next(&mut self, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.tries.min(20)).min(self.max);
        self.tries += 1;
        doubled / 2 + (doubled / 2).mul_f64((random % 1024) as f64 / 1023.0)
    }

    /// The connection worked again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_and_starts_again_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
        let longest: Vec<_> = (0..5).map(|_| backoff.next(1023).as_millis()).collect();
        assert_eq!(longest, [250, 500, 1000, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.next(0).as_millis(), 125);
    }
}
