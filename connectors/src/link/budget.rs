//! The bound on what waits in all link queues of a process together.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::message::limits::{DELIVERY_BYTES_MAX, QUEUES_BYTES_MAX};

/// Bytes in all queues; a link waits while one more delivery would pass the bound.
#[derive(Debug, Default)]
pub struct QueueBudget {
    bytes: AtomicUsize,
    pub(super) freed: Notify,
}

impl QueueBudget {
    /// Whether one more delivery fits.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Acquire) + DELIVERY_BYTES_MAX <= QUEUES_BYTES_MAX
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn free(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before + DELIVERY_BYTES_MAX > QUEUES_BYTES_MAX {
            self.freed.notify_waiters();
        }
    }

    /// Bytes that wait now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}
