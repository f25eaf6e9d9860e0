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
    disk_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn wrote(&self, frames: u64, bytes: u64) {
        self.frames.fetch_add(frames, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.disk_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn synced(&self, syncs: u64, micros: u64) {
        self.syncs.fetch_add(syncs, Relaxed);
        self.sync_micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn found(&self, disk_bytes: u64) {
        self.disk_bytes.store(disk_bytes, Relaxed);
    }

    pub(super) fn read(&self) -> StoreStatistics {
        StoreStatistics {
            frames: self.frames.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_micros: self.sync_micros.load(Relaxed),
            disk_bytes: self.disk_bytes.load(Relaxed),
        }
    }
}
