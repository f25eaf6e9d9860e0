//! Counters of the log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use twinflow_operators::store::StoreStatistics;

/// Shared between the log thread and whoever looks.
#[derive(Debug, Default)]
pub(super) struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_micros: AtomicU64,
}

impl Counters {
    pub(super) fn wrote(&self, frames: u64, bytes: u64) {
        self.frames.fetch_add(frames, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn synced(&self, syncs: u64, micros: u64) {
        self.syncs.fetch_add(syncs, Relaxed);
        self.sync_micros.fetch_add(micros, Relaxed);
    }

    /// All of them; how much is on the disk is not known here.
    pub(super) fn read(&self) -> StoreStatistics {
        StoreStatistics {
            frames: self.frames.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_micros: self.sync_micros.load(Relaxed),
            disk_bytes: 0,
        }
    }
}
