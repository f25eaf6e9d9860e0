//! When each message of a paced run was due, found by the number that the message carries.
//!
//! Estimate: one read of a table of 8 bytes a message, a cache miss at worst.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::Result;
use crate::data::DataSet;
use crate::w1::Reading;
use crate::w3::Pace;

/// Due times in nanoseconds after the start, by `seq`; sources are due together, not in turn.
#[derive(Debug)]
pub(super) struct Due {
    nanos: Vec<u64>,
    start: OnceLock<Instant>,
    rate: u64,
    sources: usize,
}

impl Due {
    /// The due times of `data` at `rate` messages a second over all sources.
    pub(super) fn new(data: &DataSet, rate: u64) -> Result<Self> {
        let (start, sources) = (OnceLock::new(), data.partitions().len());
        let mut due = Self { nanos: Vec::new(), start, rate, sources };
        for partition in data.partitions() {
            for j in 0..partition.len() {
                let reading: Reading<'_> = serde_json::from_slice(partition.record(j).1)?;
                let seq = usize::try_from(reading.seq)?;
                if seq >= due.nanos.len() {
                    due.nanos.resize(seq + 1, 0);
                }
                due.nanos[seq] = u64::try_from(due.after(j as u64).as_nanos())?;
            }
        }
        Ok(due)
    }

    /// How long after the start message `j` of each source is due.
    pub(super) fn after(&self, j: u64) -> Duration {
        Pace::offset(self.rate, j * self.sources as u64)
    }

    /// Sets the start, once.
    pub(super) fn start(&self, moment: Instant) {
        self.start.get_or_init(|| moment);
    }

    /// From due to `now`.
    pub(super) fn since(&self, seq: u64, now: Instant) -> Duration {
        let nanos = usize::try_from(seq).ok().and_then(|seq| self.nanos.get(seq));
        self.elapsed(now).saturating_sub(Duration::from_nanos(nanos.copied().unwrap_or(0)))
    }

    /// From the start to `now`.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        self.start.get().map_or(Duration::ZERO, |start| now.saturating_duration_since(*start))
    }
}
