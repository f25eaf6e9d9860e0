//! How far a start is, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Reading;

/// How far the recovery of a state is. Everything is 0 before it begins.
#[derive(Debug, Default)]
pub struct RecoveryProgress {
    /// The reading of the store.
    pub reading: Reading,
    twins: AtomicU64,
    loaded: AtomicU64,
}

impl RecoveryProgress {
    /// The store is read, and has so many twins.
    pub(super) fn found(&self, twins: u64) {
        self.twins.store(twins, Ordering::Relaxed);
    }

    /// So many more twins are loaded.
    pub(super) fn add_loaded(&self, twins: u64) {
        self.loaded.fetch_add(twins, Ordering::Relaxed);
    }

    /// Twins that are loaded, and all of them; 0 of 0 while the store is read.
    pub fn twins(&self) -> (u64, u64) {
        (self.loaded.load(Ordering::Relaxed), self.twins.load(Ordering::Relaxed))
    }
}
