//! The log of the product with its steps counted: what is handed over, closed, begun and ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use twinflow::store::{LocalLog, SimDisk};
use twinflow_operators::store::{
    Claimed, Entry, EpochPart, EpochStore, StoreError, StoreStatistics, SweepOrder,
};

/// A log that says what happens to it.
pub(crate) struct Stepped {
    pub(crate) log: LocalLog,
    pub(crate) disk: SimDisk,
    /// The number of the sweep that is wanted, 0 for none.
    wanted: AtomicU64,
    pub(crate) sweeps: Arc<AtomicU64>,
}

impl Stepped {
    pub(crate) fn new(log: LocalLog, disk: SimDisk, sweeps: Arc<AtomicU64>) -> Self {
        Self { log, disk, wanted: AtomicU64::new(0), sweeps }
    }
}

impl EpochStore for Stepped {
    fn replay(&self, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        self.log.replay(each)
    }

    fn claim(&self, workers: usize) -> Result<Claimed, StoreError> {
        self.log.claim(workers)
    }

    fn attach(&self, worker: usize, ring: Box<dyn Fn() + Send + Sync>) {
        self.log.attach(worker, ring);
    }

    fn append(&self, worker: usize, epoch: u64, part: EpochPart) {
        self.disk.step("frame handed over");
        self.log.append(worker, epoch, part);
    }

    fn group(&self, worker: usize, epoch: u64) -> Option<u64> {
        self.log.group(worker, epoch)
    }

    fn cut(&self, worker: usize, through: u64, held: u64) -> u64 {
        self.log.cut(worker, through, held)
    }

    fn buffer(&self) -> Vec<u8> {
        self.log.buffer()
    }

    fn closed(&self, worker: usize, through: u64) {
        self.log.closed(worker, through);
    }

    fn durable(&self, worker: usize) -> u64 {
        self.log.durable(worker)
    }

    fn shared_bytes(&self) -> Option<u64> {
        self.log.shared_bytes()
    }

    fn commit(&self, epoch: u64) -> u64 {
        self.disk.step("commit");
        self.log.commit(epoch)
    }

    fn sweep(&self) -> Option<SweepOrder> {
        let order = self.log.sweep();
        let number = order.map_or(0, |order| order.number);
        let before = self.wanted.swap(number, Ordering::Relaxed);
        if before != number {
            self.disk.step(if number > 0 { "sweep begins" } else { "sweep ends" });
            self.sweeps.fetch_add(u64::from(before > 0), Ordering::Relaxed);
        }
        order
    }

    fn is_full(&self) -> bool {
        self.log.is_full()
    }

    fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.log.dead_letter_payload(number)
    }

    fn seal(&self) -> Result<(), StoreError> {
        self.log.seal()
    }

    fn statistics(&self) -> StoreStatistics {
        self.log.statistics()
    }
}
