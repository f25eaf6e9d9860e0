//! Times from when a message was due to its acknowledgement, as its device saw them.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use hdrhistogram::Histogram;

/// Longer times count as this long.
const MICROS_MAX: u64 = 3_600_000_000;

/// 50th and 99th percentile, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Percentiles {
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

#[derive(Debug)]
struct Times {
    all: Histogram<u64>,
    recent: Histogram<u64>,
}

/// All times, and those since somebody last asked.
#[derive(Debug)]
pub(super) struct Latencies(Mutex<Times>);

impl Default for Latencies {
    fn default() -> Self {
        let empty = Histogram::new_with_max(MICROS_MAX, 3).expect("the bounds are constants");
        Self(Mutex::new(Times { all: empty.clone(), recent: empty }))
    }
}

impl Latencies {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().expect("never left half changed")
    }

    pub(super) fn add(&self, times: impl Iterator<Item = Duration>) {
        let mut histograms = self.times();
        for time in times {
            let micros = u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX);
            histograms.all.saturating_record(micros);
            histograms.recent.saturating_record(micros);
        }
    }

    pub(super) fn all(&self) -> Percentiles {
        percentiles(&self.times().all)
    }

    /// Those since the last call; `None` when there was no answer.
    pub(super) fn recent(&self) -> Option<Percentiles> {
        let mut histograms = self.times();
        let recent = (!histograms.recent.is_empty()).then(|| percentiles(&histograms.recent));
        histograms.recent.reset();
        recent
    }
}

fn percentiles(times: &Histogram<u64>) -> Percentiles {
    let at = |quantile| times.value_at_quantile(quantile);
    Percentiles { p50_us: at(0.5), p99_us: at(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_times_are_told_once_and_all_times_always() {
        let latencies = Latencies::default();
        assert_eq!(latencies.recent(), None);
        latencies.add((1..=100).map(Duration::from_micros));
        let expected = Percentiles { p50_us: 50, p99_us: 99 };
        assert_eq!(latencies.recent(), Some(expected));
        assert_eq!(latencies.recent(), None);
        assert_eq!(latencies.all(), expected);
        latencies.add([Duration::from_secs(99_999)].into_iter());
        assert!(latencies.all().p99_us < MICROS_MAX);
    }
}
