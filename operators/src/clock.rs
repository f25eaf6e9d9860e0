//! The number of epochs: a Lamport clock per process (law S3), and the activators it wakes.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use timely::scheduling::SyncActivator;

/// The epoch that is open now, in one process. It only moves forward; no wall clock decides it.
pub struct EpochClock {
    now: AtomicU64,
    sources: Mutex<Vec<SyncActivator>>,
}

impl EpochClock {
    /// A clock of a generation whose first epoch is `first`.
    pub fn new(first: u64) -> Self {
        Self { now: AtomicU64::new(first), sources: Mutex::default() }
    }

    /// The open epoch.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// A source of this process, woken whenever another one moves the clock. The activator must be
    /// made on the source's own thread, or it wakes the wrong one.
    pub fn attach(&self, source: SyncActivator) {
        self.sources.lock().expect("epoch clock").push(source);
    }

    /// Moves the clock to `epoch`, if that is forward, and wakes the sources of the process.
    pub fn advance(&self, epoch: u64) {
        if self.now.fetch_max(epoch, Ordering::AcqRel) < epoch {
            for source in self.sources.lock().expect("epoch clock").iter() {
                // A worker that has ended needs no wake-up.
                let _gone = source.activate().is_err();
            }
        }
    }
}

impl fmt::Debug for EpochClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochClock").field("now", &self.now()).finish_non_exhaustive()
    }
}
