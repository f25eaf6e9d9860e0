//! Counters of a model: written once per epoch and worker, read by metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one model over all workers of a process.
#[derive(Debug, Default)]
pub struct ModelStatistics {
    /// Messages applied.
    pub messages: AtomicU64,
    /// Calls of the processor.
    pub calls: AtomicU64,
    /// Messages that became dead letters or were skipped.
    pub failed: AtomicU64,
    /// Messages whose id had been handled before.
    pub repeated: AtomicU64,
    /// Messages whose twin was in quarantine.
    pub quarantined: AtomicU64,
    /// Feedback messages sent.
    pub feedback: AtomicU64,
    /// Twins that exist.
    pub twins: AtomicU64,
    /// Message ids remembered by the worker that reported last.
    pub message_ids: AtomicU64,
}

/// What one epoch adds, counted without atomics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EpochCounts {
    pub(crate) messages: u64,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) repeated: u64,
    pub(crate) quarantined: u64,
    pub(crate) feedback: u64,
    pub(crate) created: u64,
    pub(crate) removed: u64,
}

impl EpochCounts {
    pub(crate) fn add_to(self, statistics: &ModelStatistics) {
        let add = |counter: &AtomicU64, by: u64| {
            if by > 0 {
                counter.fetch_add(by, Ordering::Relaxed);
            }
        };
        add(&statistics.messages, self.messages);
        add(&statistics.calls, self.calls);
        add(&statistics.failed, self.failed);
        add(&statistics.repeated, self.repeated);
        add(&statistics.quarantined, self.quarantined);
        add(&statistics.feedback, self.feedback);
        add(&statistics.twins, self.created);
        if self.removed > 0 {
            statistics.twins.fetch_sub(self.removed, Ordering::Relaxed);
        }
    }
}
