//! How far a connection of buffers is.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Counts what was handed over and acknowledged; clones see the same connection.
#[derive(Clone)]
pub struct BuffersProgress(Arc<Counts>);

struct Counts {
    sizes: Vec<u64>,
    delivered: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
    started: OnceLock<Instant>,
    happened: Notify,
    lock: Mutex<()>,
    happened_blocking: Condvar,
}

impl BuffersProgress {
    pub(super) fn new(sizes: impl Iterator<Item = usize>) -> Self {
        let sizes: Vec<_> = sizes.map(|size| size as u64).collect();
        let zeros = || sizes.iter().map(|_| AtomicU64::new(0)).collect();
        let (delivered, acknowledged) = (zeros(), zeros());
        Self(Arc::new(Counts {
            sizes,
            delivered,
            acknowledged,
            started: OnceLock::new(),
            happened: Notify::new(),
            lock: Mutex::default(),
            happened_blocking: Condvar::new(),
        }))
    }

    /// How many messages there are in all partitions.
    pub fn messages(&self) -> u64 {
        self.0.sizes.iter().sum()
    }

    /// How many were handed over, counting those again that an earlier session had.
    pub fn delivered(&self) -> u64 {
        sum(&self.0.delivered)
    }

    /// How many are acknowledged: the newest committed position of each partition.
    pub fn acknowledged(&self) -> u64 {
        sum(&self.0.acknowledged)
    }

    /// The moment that due times count from: when the first session began, unless
    /// [`Self::start_at`] said otherwise. `None` before that.
    pub fn started(&self) -> Option<Instant> {
        self.0.started.get().copied()
    }

    /// Sets the moment that due times count from; says whether it was still open.
    pub fn start_at(&self, moment: Instant) -> bool {
        self.0.started.set(moment).is_ok()
    }

    pub(super) fn start(&self) -> Instant {
        *self.0.started.get_or_init(Instant::now)
    }

    pub(super) fn size(&self, partition: usize) -> u64 {
        self.0.sizes.get(partition).copied().unwrap_or(0)
    }

    pub(super) fn note_delivered(&self, partition: usize, count: u64) {
        self.0.delivered[partition].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn note_acknowledged(&self, partition: usize, up_to: u64) {
        self.0.acknowledged[partition].fetch_max(up_to, Ordering::AcqRel);
        if self.acknowledged() == self.messages() {
            drop(self.0.lock.lock().expect("nothing panics under it"));
            self.0.happened_blocking.notify_all();
            self.0.happened.notify_waiters();
        }
    }

    /// Waits until every message is acknowledged.
    pub async fn until_acknowledged(&self) {
        loop {
            let happened = self.0.happened.notified();
            if self.acknowledged() == self.messages() {
                return;
            }
            happened.await;
        }
    }

    /// The same for a thread that may block; `false` when that takes longer than `limit`.
    pub fn wait_acknowledged(&self, limit: Duration) -> bool {
        let guard = self.0.lock.lock().expect("nothing panics under it");
        let waited = self
            .0
            .happened_blocking
            .wait_timeout_while(guard, limit, |()| self.acknowledged() < self.messages());
        !waited.expect("nothing panics under it").1.timed_out()
    }
}

fn sum(counts: &[AtomicU64]) -> u64 {
    counts.iter().map(|count| count.load(Ordering::Acquire)).sum()
}

impl fmt::Debug for BuffersProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuffersProgress")
            .field("messages", &self.messages())
            .field("delivered", &self.delivered())
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}
