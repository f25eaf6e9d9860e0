//! What is counted per slot.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one slot; written once per delivery or event, never per message.
#[derive(Debug, Default)]
pub struct SlotStatistics {
    /// Messages delivered.
    pub received: AtomicU64,
    /// Bytes of their rows.
    pub received_bytes: AtomicU64,
    /// Deliveries made.
    pub deliveries: AtomicU64,
    /// Messages dropped because their position was taken before (law S2).
    pub repeated_positions: AtomicU64,
    /// Feedback handed to the connector.
    pub feedback_sent: AtomicU64,
    /// Feedback that the upstream has.
    pub feedback_confirmed: AtomicU64,
    /// Feedback given up.
    pub feedback_given_up: AtomicU64,
    /// Sessions opened.
    pub sessions: AtomicU64,
}

impl SlotStatistics {
    pub(super) fn count_delivery(&self, rows: usize, bytes: usize) {
        self.received.fetch_add(rows as u64, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.deliveries.fetch_add(1, Ordering::Relaxed);
    }
}
