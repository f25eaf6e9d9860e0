//! The default store: a log of whole values in one directory (docs/internals/log-format.md).
//!
//! All workers' parts of an epoch are one frame, so the frame's check is the commit. The log thread
//! writes whatever has gathered as one group with one sync, so a slow disk makes larger groups, not
//! a slower engine.
//!
//! Not yet: segments are neither swept nor recycled, so the directory grows without end, and
//! payloads of dropped dead letters keep their room.

mod counters;
mod dead_letters;
mod disk;
mod error;
mod format;
mod group;
mod history;
mod marker;
mod options;
mod queue;
mod replay;
mod tail;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use twinflow_operators::store::{
    Claimed, Entry, EpochPart, EpochStore, StoreError, StoreStatistics,
};

pub use self::disk::{Access, Disk, DiskFile, LockError};
pub use self::options::LogOptions;

use self::counters::Counters;
use self::dead_letters::{DeadLetters, Index};
use self::error::disk_error;
use self::group::Group;
use self::queue::{Pace, Queue};
use self::replay::Found;
use self::writer::{Writer, mix};

/// A log in one directory on one machine, for one process at a time.
///
/// Dropping it without [`EpochStore::seal`] is like a crash: what was not reported durable may be
/// lost.
pub struct LocalLog {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    log_id: u64,
    /// What replay found, until it is claimed.
    found: Mutex<Option<Found>>,
    queue: Arc<Queue>,
    index: Arc<Index>,
    counters: Arc<Counters>,
    thread: Mutex<Option<JoinHandle<()>>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl LocalLog {
    /// Opens the log in `directory`, which is made (0700, files 0600) if it is not there.
    ///
    /// The directory is locked until the log is dropped.
    ///
    /// # Errors
    ///
    /// `Refused` if the directory is in use, not ours, of a newer version or not to be written;
    /// `Corrupt` if its marker is damaged; or the operating system's.
    pub fn open(directory: &Path, options: LogOptions) -> Result<Self, StoreError> {
        if !LogOptions::SEGMENT_BYTES.contains(&options.segment_bytes) {
            return Err(StoreError::Refused {
                why: format!(
                    "segment_bytes is {}; it must be between {} and {}",
                    options.segment_bytes,
                    LogOptions::SEGMENT_BYTES.start(),
                    LogOptions::SEGMENT_BYTES.end()
                ),
            });
        }
        Self::open_on(Arc::new(disk::Directory::new(directory)), options)
    }

    /// Opens the log on a disk of the caller's, with segments of any length: for fault tests.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Self, StoreError> {
        let (lock, log_id) = marker::take(&*disk, mix(options.random))?;
        Ok(Self {
            disk,
            options,
            log_id,
            found: Mutex::default(),
            queue: Arc::default(),
            index: Arc::default(),
            counters: Arc::default(),
            thread: Mutex::default(),
            _lock: lock,
        })
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the log, made safe to write behind.
    fn writer(&self, found: &Found) -> Result<Writer, StoreError> {
        let open = tail::secure(&*self.disk, found)?;
        let (disk, options) = (Arc::clone(&self.disk), &self.options);
        let index = Arc::clone(&self.index);
        let letters = DeadLetters::new(disk, index, options.segment_bytes, found.next_dead_letters);
        Ok(Writer {
            disk: Arc::clone(&self.disk),
            log_id: self.log_id,
            random: options.random,
            segment_bytes: options.segment_bytes,
            clock: Arc::clone(&options.clock),
            counters: Arc::clone(&self.counters),
            letters,
            next_segment: open.as_ref().map_or(1, |open| open.number + 1),
            open,
            history: found.history,
            group: Group::default(),
        })
    }
}

impl EpochStore for LocalLog {
    fn replay(&self, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        let found = replay::replay(&*self.disk, self.log_id, &self.index, each)?;
        self.counters.found(found.disk_bytes);
        *self.found() = Some(found);
        Ok(())
    }

    fn claim(&self, workers: usize) -> Result<Claimed, StoreError> {
        if self.found().is_none() {
            self.replay(&mut |_| {})?;
        }
        let found = self.found().take().expect("it was replayed above");
        let mut writer = self.writer(&found)?;
        writer.start(workers)?;
        let claimed = Claimed { generation: writer.history.generation, base: found.history.epoch };
        self.queue.begin(workers, claimed.base, Pace::of(&self.options));
        let thread = thread::spawn(writer, Arc::clone(&self.queue), &self.options)
            .map_err(|cause| disk_error("start the log thread", cause))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(claimed)
    }

    fn attach(&self, _worker: usize, ring: Box<dyn Fn() + Send + Sync>) {
        self.queue.attach(ring);
    }

    fn append(&self, worker: usize, epoch: u64, part: EpochPart) {
        self.queue.append(worker, epoch, part);
    }

    fn closed(&self, worker: usize, through: u64) {
        self.queue.closed(worker, through);
    }

    fn durable(&self, _worker: usize) -> u64 {
        self.queue.durable()
    }

    fn shared_bytes(&self) -> Option<u64> {
        (!self.options.sync_every.is_zero()).then(|| self.queue.bytes())
    }

    fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.index.payload(&*self.disk, number)
    }

    fn seal(&self) -> Result<(), StoreError> {
        if self.queue.seal() {
            return Ok(());
        }
        let cause = std::io::Error::other("an earlier write failed");
        Err(disk_error("seal the log", cause))
    }

    fn statistics(&self) -> StoreStatistics {
        self.counters.read()
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.queue.stop();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has said so, and the hook of law F1 ends the process.
        drop(thread.map(JoinHandle::join));
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog")
            .field("place", &self.disk.place())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
