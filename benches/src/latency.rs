//! A histogram of latencies and the four figures that are quoted of it, never a mean.
//!
//! Estimate: recording is an index and an addition, 3-5 ns; three digits are kept, so that a
//! figure is right to 0.1 %.

use std::time::Duration;

use serde::Serialize;

/// An hour in nanoseconds: what takes longer is recorded as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: hdrhistogram::Histogram<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = hdrhistogram::Histogram::new_with_bounds(1, LONGEST, 3)
            .expect("these bounds are valid");
        Self { counts }
    }
}

impl Histogram {
    /// Records one latency.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST);
        self.counts.saturating_record(nanos);
    }

    /// Takes in what another thread has recorded.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts).expect("all histograms have the same bounds");
    }

    /// How many latencies were recorded.
    pub fn len(&self) -> u64 {
        self.counts.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latency that the part `quantile` of all is not above, in microseconds.
    pub fn micros_at(&self, quantile: f64) -> f64 {
        micros(self.counts.value_at_quantile(quantile))
    }

    /// The figures that are quoted.
    pub fn figures(&self) -> Latency {
        let at = |quantile| micros(self.counts.value_at_quantile(quantile));
        Latency {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(self.counts.max()),
        }
    }
}

/// Nanoseconds as microseconds.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// Median, 99th, 99.9th and the largest, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// The 99.9th percentile.
    pub p999_us: f64,
    /// The largest.
    pub max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_what_was_recorded() {
        let (mut all, mut other) = (Histogram::default(), Histogram::default());
        for us in 1..=500 {
            all.record(Duration::from_micros(us));
            other.record(Duration::from_micros(us + 500));
        }
        all.merge(&other);
        let figures = all.figures();
        assert_eq!(all.len(), 1000);
        assert!((figures.p50_us - 500.0).abs() < 1.0, "{figures:?}");
        assert!((figures.p99_us - 990.0).abs() < 1.0, "{figures:?}");
        assert!((figures.max_us - 1000.0).abs() < 1.0, "{figures:?}");
    }

    #[test]
    fn what_takes_too_long_is_still_counted() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_secs(1_000_000_000_000));
        assert_eq!(histogram.len(), 1);
    }
}
