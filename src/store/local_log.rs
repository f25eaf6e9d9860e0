//! The default store: a log of whole values in one directory (docs/internals/log-format.md).
//!
//! All workers' parts of an epoch are one frame, so the frame's check is the commit. The log thread
//! writes whatever has gathered as one group with one sync, so a slow disk makes larger groups, not
//! a slower engine.
//!
//! When the log has grown by as much as is alive, the workers write everything again, a piece an
//! epoch, as entries of ordinary frames. Segments that are older than that sweep go.

mod carry;
mod chain;
mod claim;
mod counters;
mod dead_letters;
mod disk;
mod error;
mod format;
#[cfg(feature = "testing")]
pub(super) mod fuzz;
mod give_up;
mod group;
mod history;
#[cfg(feature = "server")]
mod import;
mod marker;
mod mistakes;
mod options;
mod pace;
#[cfg(any(test, feature = "testing"))]
pub(super) mod paused;
mod queue;
mod readers;
mod replay;
mod room;
mod segment;
#[cfg(any(test, feature = "testing"))]
pub(super) mod simulated;
mod spares;
#[cfg(feature = "server")]
mod stopped;
mod sweep;
mod tail;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use twinflow_operators::mistakes as planted;
use twinflow_operators::store::{
    Claimed, Entry, EpochPart, EpochStore, Piece, Reading, StoreError, StoreStatistics, SweepOrder,
};

pub use self::disk::{Access, Disk, DiskFile, Free, Identity, LockError};
#[cfg(feature = "server")]
pub(crate) use self::import::NewLog;
pub use self::options::LogOptions;
#[cfg(feature = "server")]
pub(crate) use self::stopped::{LogSummary, StoppedLog};

use self::claim::Claim;
use self::counters::Counters;
use self::dead_letters::{DeadLetters, Index};
use self::error::disk_error;
use self::group::Group;
use self::mistakes::Mistakes;
use self::pace::Pace;
use self::queue::Queue;
use self::replay::{Found, Visit};
use self::room::Room;
use self::spares::Spares;
use self::sweep::{Orders, Sweeps};
use self::tail::Secured;
use self::writer::{Writer, mix};

/// With room for so many segments, spares of an earlier generation may wait to be removed.
const PLENTY_SEGMENTS: u64 = 16;

/// A log in one directory on one machine, for one process at a time.
///
/// Dropping it without [`EpochStore::seal`] is like a crash: what was not reported durable may be
/// lost.
pub struct LocalLog {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    known: marker::Known,
    /// The generation that was taken, from the first replay on.
    claim: OnceLock<Arc<Claim>>,
    /// What replay found, until it is claimed.
    found: Mutex<Option<Found>>,
    queue: Arc<Queue>,
    index: Arc<Index>,
    counters: Arc<Counters>,
    orders: Arc<Orders>,
    spares: Arc<Spares>,
    room: Arc<Room>,
    /// The log thread, and the helper that makes spares.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Whether there is a helper; without one all that is done is done on the log thread.
    helps: bool,
    mistakes: Mistakes,
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
        let mut log = Self::open_on(Arc::new(disk::Directory::new(directory)), options)?;
        log.helps = true;
        Ok(log)
    }

    /// Opens the log on a disk of the caller's, with segments of any length: for fault tests.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Self, StoreError> {
        let (lock, known) = marker::take(&*disk, mix(options.random))?;
        let orders: Arc<Orders> = Arc::default();
        Ok(Self {
            room: Arc::new(Room::new(
                Arc::clone(&disk),
                Arc::clone(&orders),
                options.segment_bytes,
            )),
            disk,
            options,
            known,
            claim: OnceLock::new(),
            found: Mutex::default(),
            queue: Arc::default(),
            index: Arc::default(),
            counters: Arc::default(),
            orders,
            spares: Arc::default(),
            threads: Mutex::default(),
            helps: false,
            mistakes: Mistakes::default(),
            _lock: lock,
        })
    }

    /// Ends a process that has nothing to write, and would notice nothing.
    fn check_claim(&self) {
        if let Some(Err(fenced)) = self.claim.get().map(|claim| claim.check()) {
            self.queue.fail();
            (self.options.on_failure)(fenced);
        }
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation of this process, taken when it is first asked for.
    fn claimed(&self, least: u64) -> Result<&Arc<Claim>, StoreError> {
        if self.claim.get().is_none() {
            let claim = Claim::take(&self.disk, self.options.random, least)?;
            // Whoever was first has the older number, and notices it.
            let _known_already = self.claim.set(Arc::new(claim)).is_err();
        }
        Ok(self.claim.get().expect("it was set above"))
    }

    /// Reads everything that is committed, when nobody else commits any more.
    fn visit(&self, visit: Visit<'_>) -> Result<(), StoreError> {
        if !planted::has(planted::Mistake::ClaimAfterReading) {
            // Records of claims say it at once: a start never goes below the newest of them.
            let newest = match claim::is_claimed(&*self.disk) {
                true => 0,
                false => replay::newest_generation(&*self.disk, self.known.log_id),
            };
            self.claimed(newest + 1)?;
        }
        let limit = self.options.recover_from;
        let names = || self.segments();
        let before = names();
        let found = replay::replay(&*self.disk, self.known, &self.index, limit, visit);
        let found = found.map_err(|error| match self.claim.get() {
            Some(claim) if names() != before => claim.behind(disk_error(
                "read the log",
                std::io::Error::other(
                    "another process has changed it meanwhile; the next start reads it again",
                ),
            )),
            _ => error,
        })?;
        *self.found() = Some(found);
        Ok(())
    }

    /// Whether a start need not give room back before it writes anything.
    fn has_plenty(&self) -> bool {
        let plenty = PLENTY_SEGMENTS * self.options.segment_bytes;
        self.disk.free().is_ok_and(|room| room.free >= plenty)
    }

    /// Names of the segments that are there.
    fn segments(&self) -> Vec<String> {
        let mut names = self.disk.list().unwrap_or_default();
        names.retain(|name| segment::segment_number(name).is_some());
        names.sort_unstable();
        names
    }

    /// The end of the log, made safe to write behind.
    fn writer(
        &self,
        found: &Found,
        claim: &Arc<Claim>,
        workers: usize,
    ) -> Result<Writer, StoreError> {
        let generation = claim.generation;
        if found.cut.is_some() {
            // What is given up is known no more, or the next start would miss it.
            let proven = found.tail.as_ref().and(Some(found.history.sequence)).unwrap_or(0);
            marker::prove(&*self.disk, marker::Known { proven, ..self.known }, generation)?;
        }
        let options = &self.options;
        let how = (options.segment_bytes, options.random);
        let secured = tail::secure(&*self.disk, found, claim, how)?;
        let Secured { open, own, replaced, complete } = secured;
        let (segment_bytes, mistakes) = (options.segment_bytes, self.mistakes);
        let next_file = found.dead_letters.iter().max().map_or(1, |newest| newest + 1);
        let (disk, index) = (Arc::clone(&self.disk), Arc::clone(&self.index));
        let letters = DeadLetters::new(disk, index, segment_bytes, next_file, mistakes);
        letters.remove_unneeded(&found.dead_letters)?;
        self.spares.begin(generation);
        let found_bytes = (complete.live_bytes, found.log_bytes);
        let there = found.retired.iter().chain(&found.counted).copied();
        let there = there.filter(|number| Some(*number) != replaced);
        let there = there.chain(open.as_ref().map(|open| open.number));
        let mut writer = Writer {
            disk: Arc::clone(&self.disk),
            claim: Arc::clone(claim),
            log_id: self.known.log_id,
            random: options.random,
            segment_bytes,
            joint: !options.sync_every.is_zero(),
            mistakes,
            clock: Arc::clone(&options.clock),
            counters: Arc::clone(&self.counters),
            letters,
            next_segment: open.as_ref().map_or(own, |open| open.number + 1),
            there: there.collect(),
            own,
            open,
            history: found.history,
            synced: found.history,
            group: Group::default(),
            swept: Vec::new(),
            sweeps: Sweeps::new(workers, segment_bytes, found_bytes, mistakes),
            orders: Arc::clone(&self.orders),
            complete,
            roll: false,
            prove: true,
            proved_at: 0,
            spares: Arc::clone(&self.spares),
            room: Arc::clone(&self.room),
        };
        writer.start(workers)?;
        Ok(writer)
    }
}

impl EpochStore for LocalLog {
    fn replay(&self, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        self.visit(Visit::InOrder(each))
    }

    fn replay_newest_first(
        &self,
        shards: usize,
        reading: &Reading,
        each: &mut dyn FnMut(&Piece),
    ) -> Result<(), StoreError> {
        self.visit(Visit::NewestFirst(shards, reading, each))
    }

    fn claim(&self, workers: usize) -> Result<Claimed, StoreError> {
        if self.found().is_none() {
            self.replay(&mut |_| {})?;
        }
        let mut found = self.found().take().expect("it was replayed above");
        let claim = Arc::clone(self.claimed(found.history.generation + 1)?);
        let mut leftovers = std::mem::take(&mut found.leftovers);
        if !self.helps || !self.has_plenty() {
            let removed = tail::remove_leftovers(&*self.disk, &claim, &leftovers);
            removed.map_err(|error| claim.behind(error))?;
            leftovers.clear();
        }
        let writer = self.writer(&found, &claim, workers).map_err(|error| claim.behind(error))?;
        let claimed = Claimed { generation: writer.history.generation, base: found.history.epoch };
        let pace = Pace::of(&self.options, workers, claimed.base);
        self.queue.begin(workers, claimed.base, pace);
        let failed = |cause| disk_error("start the log thread", cause);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread::spawn(writer, Arc::clone(&self.queue), &self.options);
        threads.push(thread.map_err(failed)?);
        if self.helps {
            let (spares, disk) = (Arc::clone(&self.spares), Arc::clone(&self.disk));
            let on_failure = Arc::clone(&self.options.on_failure);
            let helper = spares.spawn(disk, self.options.segment_bytes, leftovers, on_failure);
            threads.push(helper.map_err(failed)?);
        }
        drop(threads);
        Ok(claimed)
    }

    fn attach(&self, _worker: usize, ring: Box<dyn Fn() + Send + Sync>) {
        self.queue.attach(ring);
    }

    fn group(&self, _worker: usize, epoch: u64) -> Option<u64> {
        self.queue.group(epoch)
    }

    fn cut(&self, worker: usize, through: u64, held: u64) -> u64 {
        self.queue.cut(worker, through, held)
    }

    fn buffer(&self) -> Vec<u8> {
        self.queue.buffer()
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

    fn sweep(&self) -> Option<SweepOrder> {
        self.orders.get()
    }

    fn is_full(&self) -> bool {
        self.room.is_full()
    }

    fn check_room(&self) -> bool {
        self.check_claim();
        self.room.look()
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
        let error = disk_error("seal the log", cause);
        Err(match self.claim.get() {
            Some(claim) => claim.behind(error),
            None => error,
        })
    }

    fn statistics(&self) -> StoreStatistics {
        StoreStatistics { disk_bytes: disk_bytes(&*self.disk), ..self.counters.read() }
    }
}

/// Bytes of all files; what cannot be looked at is not counted.
fn disk_bytes(disk: &dyn Disk) -> u64 {
    let names = disk.list().unwrap_or_default();
    let length = |name: &String| disk.open(name, Access::Read)?.length();
    names.iter().filter_map(|name| length(name).ok()).sum()
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.queue.stop();
        self.spares.stop();
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // One that panicked has said so, and the hook of law F1 ends the process.
            let _panicked = thread.join().is_err();
        }
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
