//! What a log is opened with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use twinflow_operators::store::StoreError;

/// Microseconds from some fixed moment.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a [`LocalLog`](super::LocalLog) is opened with. Nothing here reads a clock or a random
/// source; both are passed in.
#[derive(Clone)]
pub struct LogOptions {
    /// A segment that has reached this length is followed by the next. 1 MiB to 256 MiB.
    pub segment_bytes: u64,
    /// Least time from the beginning of one group to that of the next; what waits shares its
    /// sync, and 4 MiB do not wait. Zero: an epoch waits only for the disk.
    pub sync_every: Duration,
    /// A log that had no frame for this long is sealed.
    pub seal_after: Duration,
    /// A random number, a new one at each start: the identity of a new log and the seeds of new
    /// segments are made of it.
    pub random: u64,
    /// Microseconds from some fixed moment, for the time that syncs take.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Called when a write or a sync failed, or another generation has taken over; perhaps more
    /// than once. The process must end with it: nothing becomes durable any more (law D11).
    pub on_failure: Arc<dyn Fn(StoreError) + Send + Sync>,
    /// If the log is damaged, everything behind this epoch is given up, and the log goes on above
    /// the highest epoch that is found in it.
    pub recover_from: Option<u64>,
}

impl LogOptions {
    /// Smallest and largest length of a segment.
    pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=256 << 20;

    /// Segments of 64 MiB, a sync for every epoch, a seal after 100 ms, and a clock that stands
    /// still.
    pub fn new(random: u64, on_failure: Arc<dyn Fn(StoreError) + Send + Sync>) -> Self {
        Self {
            segment_bytes: 64 << 20,
            sync_every: Duration::ZERO,
            seal_after: Duration::from_millis(100),
            random,
            clock: Arc::new(|| 0),
            on_failure,
            recover_from: None,
        }
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("segment_bytes", &self.segment_bytes)
            .field("sync_every", &self.sync_every)
            .field("seal_after", &self.seal_after)
            .finish_non_exhaustive()
    }
}
