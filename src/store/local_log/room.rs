//! Room on the disk, and when there is too little to take anything in (law D10).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::{Disk, Free};
use super::sweep::Orders;

/// What is left free at the most.
const RESERVE_MAX: u64 = 1 << 30;

/// What is left free, as a part of the disk.
const RESERVE_PART: u64 = 20;

/// Watches the room on the disk; shared by the log thread and whoever looks once in a while.
pub(super) struct Room {
    disk: Arc<dyn Disk>,
    orders: Arc<Orders>,
    segment_bytes: u64,
    /// Bytes of files that the log has and does not use.
    spare_bytes: AtomicU64,
    /// Bytes that the sweep that is under way, or the next one, has to write at the most.
    sweep_bytes: AtomicU64,
    full: AtomicBool,
}

/// Whether a disk with this much room is full, when it was or was not before: the reserve and what
/// the sweep needs to come to its end must be there, and one segment more before it goes on.
fn is_full(before: bool, free: Free, usable: u64, sweep: u64, segment: u64) -> bool {
    let reserve = (free.total / RESERVE_PART).min(RESERVE_MAX).max(2 * segment);
    usable < reserve + sweep + if before { segment } else { 0 }
}

impl Room {
    pub(super) fn new(disk: Arc<dyn Disk>, orders: Arc<Orders>, segment_bytes: u64) -> Self {
        Self {
            disk,
            orders,
            segment_bytes,
            spare_bytes: AtomicU64::new(0),
            sweep_bytes: AtomicU64::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Takes what the log knows.
    pub(super) fn note(&self, spare_bytes: u64, sweep_bytes: u64) {
        self.spare_bytes.store(spare_bytes, Ordering::Relaxed);
        self.sweep_bytes.store(sweep_bytes, Ordering::Relaxed);
    }

    /// Looks at the disk; whether it is full now. A disk that does not say is not.
    pub(super) fn look(&self) -> bool {
        let before = self.is_full();
        let full = self.disk.free().is_ok_and(|free| {
            let usable = free.free.saturating_add(self.spare_bytes.load(Ordering::Relaxed));
            let sweep = self.sweep_bytes.load(Ordering::Relaxed);
            is_full(before, free, usable, sweep, self.segment_bytes)
        });
        if full != before {
            self.full.store(full, Ordering::Release);
            self.orders.set_urgent(full);
        }
        full
    }

    /// What the last look said.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_d10_the_reserve_is_a_gibibyte_or_a_twentieth_and_at_least_two_segments() {
        let full = |total, usable, segment| {
            is_full(false, Free { free: usable, total }, usable, 0, segment)
        };
        let large = 1 << 40;
        assert!(full(large, (1 << 30) - 1, 1 << 20) && !full(large, 1 << 30, 1 << 20));
        assert!(full(20_000 << 20, (1000 << 20) - 1, 1 << 20));
        assert!(!full(20_000 << 20, 1000 << 20, 1 << 20));
        assert!(full(100 << 20, (8 << 20) - 1, 4 << 20) && !full(100 << 20, 8 << 20, 4 << 20));
    }

    #[test]
    fn a_sweep_can_end_and_a_full_disk_needs_a_segment_more() {
        let full = |before, usable, sweep| {
            is_full(before, Free { free: usable, total: 1000 }, usable, sweep, 100)
        };
        assert!(full(false, 199, 0) && !full(false, 200, 0));
        assert!(full(false, 299, 100) && !full(false, 300, 100));
        assert!(full(true, 299, 0) && !full(true, 300, 0));
    }
}
