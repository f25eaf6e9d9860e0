//! What the workers have handed over and the log thread has not written yet.
//!
//! Bounded by the dataflow, not here: it has at most 8 uncommitted epochs, or 256 MiB of them where
//! many share a sync (law S4). So workers never wait, and the log thread waits on a condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::options::{Clock, LogOptions};

use twinflow_operators::store::EpochPart;

/// So many bytes do not wait for company: with 32 MiB, no longer in the processor's cache when they
/// are written, the whole engine was 5 to 14 % slower at full load.
const GROUP_BYTES: u64 = 4 << 20;

/// Buffers that are kept for the next parts: so many, and none that is larger.
const BUFFERS_MAX: usize = 16;
const BUFFER_BYTES_MAX: usize = 2 << 20;

/// The parts of one epoch, by worker.
pub(super) type Parts = BTreeMap<usize, EpochPart>;

/// Shared between the workers and the log thread.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The log thread waits here.
    work: Condvar,
    /// Callers of `seal` wait here.
    sealed: Condvar,
    durable: AtomicU64,
    /// Bytes of the parts that are not durable.
    bytes: AtomicU64,
    /// Buffers of parts that are written, for the next ones: memory that was touched before.
    buffers: Mutex<Vec<Vec<u8>>>,
    bells: RwLock<Vec<Box<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<u64, Parts>,
    /// Per worker: it has handed over everything below this epoch.
    through: Vec<u64>,
    /// The first epoch that is being written.
    writing: Option<u64>,
    writing_bytes: u64,
    /// Seals that were asked for, and those that are written.
    seals_wanted: u64,
    seals_done: u64,
    failed: bool,
    stopped: bool,
    pace: Pace,
    /// The log thread waits for time to pass, not for the next epoch.
    is_paced: bool,
}

/// How long epochs wait for others to share their sync.
#[derive(Clone)]
pub(super) struct Pace {
    /// Least time between the beginnings of two groups.
    every: Duration,
    /// So many waiting bytes do not wait longer.
    bytes_max: u64,
    clock: Clock,
    /// When the last group was begun.
    begun_at: Option<u64>,
}

impl Pace {
    /// That of a log with these options.
    pub(super) fn of(options: &LogOptions) -> Self {
        Self::new(options.sync_every, GROUP_BYTES, Clock::clone(&options.clock))
    }

    fn new(every: Duration, bytes_max: u64, clock: Clock) -> Self {
        Self { every, bytes_max, clock, begun_at: None }
    }

    /// How long the next group has to wait.
    fn left(&self, waiting_bytes: u64) -> Duration {
        let Some(begun_at) = self.begun_at.filter(|_| waiting_bytes < self.bytes_max) else {
            return Duration::ZERO;
        };
        // A clock that was set back lets nobody wait.
        let since = (self.clock)().checked_sub(begun_at);
        since
            .map_or(Duration::ZERO, |since| self.every.saturating_sub(Duration::from_micros(since)))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(Duration::ZERO, u64::MAX, std::sync::Arc::new(|| 0))
    }
}

/// What the log thread does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these epochs, in order, each with at least one entry.
    Epochs(BTreeMap<u64, Parts>),
    /// Write a seal. Every epoch below this one is durable.
    Seal(u64),
    /// End.
    Stop,
}

/// The smallest epoch that is not durable: what is not closed by all, or not written.
fn not_durable(through: &[u64], unwritten: Option<u64>) -> u64 {
    let closed = through.iter().copied().min().unwrap_or(0);
    unwritten.map_or(closed, |first| first.min(closed))
}

fn bytes_of(part: &EpochPart) -> u64 {
    part.bytes().len() as u64
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A generation begins behind `base`.
    pub(super) fn begin(&self, workers: usize, base: u64, pace: Pace) {
        let mut state = self.state();
        (state.through, state.pace) = (vec![base + 1; workers], pace);
        drop(state);
        self.durable.store(base + 1, Ordering::Release);
    }

    /// Adds a bell.
    pub(super) fn attach(&self, ring: Box<dyn Fn() + Send + Sync>) {
        self.bells.write().unwrap_or_else(PoisonError::into_inner).push(ring);
    }

    /// Takes a worker's part of an epoch.
    pub(super) fn append(&self, worker: usize, epoch: u64, part: EpochPart) {
        if part.is_empty() {
            return;
        }
        self.bytes.fetch_add(bytes_of(&part), Ordering::Relaxed);
        let mut state = self.state();
        assert!(epoch >= state.through[worker], "a worker appends before it closes an epoch");
        match state.waiting.entry(epoch).or_default().entry(worker) {
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(part)),
            std::collections::btree_map::Entry::Occupied(mut had) => had.get_mut().extend(&part),
        }
    }

    /// A worker has handed over everything below `through`.
    pub(super) fn closed(&self, worker: usize, through: u64) {
        let moved = {
            let mut state = self.state();
            let of_worker = &mut state.through[worker];
            *of_worker = through.max(*of_worker);
            let waits_on = state.is_paced && !self.left(&state).is_zero();
            if state.writable().is_some() && !waits_on {
                self.work.notify_one();
            }
            self.settle(&state)
        };
        if moved {
            self.ring();
        }
    }

    /// Every epoch below this one is durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Asks for a seal and waits for it; whether it was written.
    pub(super) fn seal(&self) -> bool {
        let mut state = self.state();
        state.seals_wanted += 1;
        let wanted = state.seals_wanted;
        self.work.notify_one();
        while state.seals_done < wanted && !state.failed && !state.stopped {
            state = self.sealed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.seals_done >= wanted
    }

    /// Waits for work. `unsealed_for` is how long an unsealed log may be idle, if it is unsealed.
    pub(super) fn next(&self, unsealed_for: Option<Duration>) -> Work {
        let mut state = self.state();
        loop {
            if state.stopped || state.failed {
                return Work::Stop;
            }
            let seal_asked = state.seals_done < state.seals_wanted;
            // How long what may be written waits for company; nobody who stops waits for that.
            let company = state
                .writable()
                .map(|first| (first, if seal_asked { Duration::ZERO } else { self.left(&state) }));
            if let Some((first, Duration::ZERO)) = company {
                return self.take(&mut state, first);
            }
            if seal_asked && company.is_none() {
                if unsealed_for.is_some() {
                    return Work::Seal(self.durable());
                }
                state.seals_done = state.seals_wanted;
                self.sealed.notify_all();
            }
            let wait = company.map(|(_, wait)| wait);
            state.is_paced = wait.is_some();
            let Some(limit) = [wait, unsealed_for].into_iter().flatten().min() else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.work.wait_timeout(state, limit);
            let (again, time) = woken.unwrap_or_else(PoisonError::into_inner);
            state = again;
            if !time.timed_out() || state.stopped {
                continue;
            }
            if wait == Some(limit) {
                state.pace.begun_at = None;
            } else if state.writable().is_none_or(|_| !self.left(&state).is_zero()) {
                return Work::Seal(self.durable());
            }
        }
    }

    /// How long the next group waits for company.
    fn left(&self, state: &State) -> Duration {
        state.pace.left(self.bytes())
    }

    /// Everything that all workers have closed.
    fn take(&self, state: &mut State, first: u64) -> Work {
        let now = (state.pace.clock)();
        state.pace.begun_at = (!state.pace.every.is_zero()).then_some(now);
        state.is_paced = false;
        let later = state.waiting.split_off(&not_durable(&state.through, None));
        state.writing = Some(first);
        let epochs = std::mem::replace(&mut state.waiting, later);
        state.writing_bytes = epochs.values().flat_map(Parts::values).map(bytes_of).sum();
        Work::Epochs(epochs)
    }

    /// Bytes of the parts that are not durable.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// An empty buffer.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps the buffers of parts that are not needed any more.
    fn keep(&self, epochs: BTreeMap<u64, Parts>) {
        let parts = epochs.into_values().flat_map(Parts::into_values);
        let fits = |buffer: &Vec<u8>| (1..=BUFFER_BYTES_MAX).contains(&buffer.capacity());
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let room = BUFFERS_MAX.saturating_sub(buffers.len());
        buffers.extend(parts.map(EpochPart::into_buffer).filter(fits).take(room));
    }

    /// These epochs, those of the last [`Work::Epochs`], are durable.
    pub(super) fn written(&self, epochs: BTreeMap<u64, Parts>) {
        self.keep(epochs);
        let moved = {
            let mut state = self.state();
            state.writing = None;
            self.bytes.fetch_sub(std::mem::take(&mut state.writing_bytes), Ordering::Relaxed);
            self.settle(&state)
        };
        if moved {
            self.ring();
        }
    }

    /// Nothing becomes durable any more.
    pub(super) fn fail(&self) {
        self.state().failed = true;
        self.sealed.notify_all();
    }

    /// Ends the log thread without writing what waits.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.work.notify_one();
        self.sealed.notify_all();
    }

    /// Moves `durable` to where it may be; whether it moved.
    fn settle(&self, state: &State) -> bool {
        let unwritten = state.writing.or(state.waiting.keys().next().copied());
        let durable = not_durable(&state.through, unwritten);
        let moves = !state.failed && durable > self.durable();
        if moves {
            self.durable.store(durable, Ordering::Release);
        }
        moves
    }

    fn ring(&self) {
        self.bells.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|bell| bell());
    }
}

impl State {
    /// The first epoch that all workers have closed and nobody has written.
    fn writable(&self) -> Option<u64> {
        let closed = not_durable(&self.through, None);
        self.waiting.keys().next().copied().filter(|first| *first < closed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinflow_operators::store::EntryKind;

    use super::*;

    fn part() -> EpochPart {
        let mut part = EpochPart::default();
        part.put(EntryKind::State, 1, 1, b"twin", b"state");
        part
    }

    #[test]
    fn durable_is_the_smallest_of_what_is_closed_and_what_is_written() {
        assert_eq!(not_durable(&[5, 7], None), 5);
        assert_eq!(not_durable(&[5, 7], Some(3)), 3);
        assert_eq!(not_durable(&[5, 7], Some(6)), 5);
    }

    #[test]
    fn epochs_without_parts_are_durable_at_once_and_in_order() {
        let queue = Queue::default();
        queue.begin(2, 9, Pace::default());
        queue.closed(0, 12);
        assert_eq!(queue.durable(), 10, "worker 1 is not there yet");
        queue.append(1, 11, part());
        queue.closed(1, 13);
        assert_eq!(queue.durable(), 11, "epoch 10 is empty, epoch 11 waits for the disk");
        let Work::Epochs(epochs) = queue.next(None) else { panic!("there is work") };
        assert!(epochs.keys().eq([&11]));
        queue.closed(1, 14);
        assert_eq!(queue.durable(), 11, "what is being written is not written");
        queue.written(epochs);
        assert_eq!(queue.durable(), 12, "never past the smallest of the workers");
        assert!(queue.buffer().capacity() > 0 && queue.buffer().capacity() == 0, "one came back");
    }

    #[test]
    fn an_epoch_is_taken_when_all_workers_have_closed_it() {
        let queue = Queue::default();
        queue.begin(2, 0, Pace::default());
        queue.append(0, 1, part());
        queue.append(0, 2, part());
        queue.append(1, 1, part());
        queue.closed(0, 3);
        queue.closed(1, 2);
        let Work::Epochs(epochs) = queue.next(None) else { panic!("there is work") };
        assert_eq!(epochs[&1].len(), 2, "the parts of both workers");
        assert!(epochs.keys().eq([&1]));
    }

    #[test]
    fn nothing_is_durable_after_a_failure() {
        let queue = Queue::default();
        queue.begin(1, 0, Pace::default());
        queue.fail();
        queue.closed(0, 5);
        assert_eq!(queue.durable(), 1);
        assert!(!queue.seal());
        assert!(matches!(queue.next(None), Work::Stop));
    }

    #[test]
    fn an_idle_log_is_sealed() {
        let queue = Queue::default();
        queue.begin(1, 4, Pace::default());
        assert!(matches!(queue.next(Some(Duration::ZERO)), Work::Seal(5)));
    }

    #[test]
    fn epochs_wait_for_company_and_neither_for_long_nor_when_they_are_many() {
        let now = Arc::new(AtomicU64::new(5));
        let clock = Arc::clone(&now);
        let queue = Queue::default();
        let length = bytes_of(&part());
        let second = Duration::from_secs(1);
        let pace = Pace::new(second, 3 * length, Arc::new(move || clock.load(Ordering::Relaxed)));
        queue.begin(1, 0, pace);
        let add = |epoch: u64| {
            queue.append(0, epoch, part());
            queue.closed(0, epoch + 1);
        };
        let taken = || match queue.next(Some(Duration::from_millis(1))) {
            Work::Epochs(epochs) => {
                let numbers = epochs.keys().copied().collect();
                queue.written(epochs);
                numbers
            }
            Work::Seal(_) => Vec::new(),
            Work::Stop => panic!("nobody stopped it"),
        };
        add(1);
        assert_eq!((taken(), queue.bytes()), (vec![1], 0), "the first after a while is alone");
        add(2);
        add(3);
        assert_eq!((taken(), queue.bytes()), (vec![], 2 * length), "its second is not over");
        now.store(1_000_005, Ordering::Relaxed);
        assert_eq!(taken(), [2, 3]);
        (4..7).for_each(add);
        assert_eq!(taken(), [4, 5, 6], "so many do not wait");
        add(7);
        assert_eq!((taken(), queue.durable()), (vec![], 7));
        now.store(3, Ordering::Relaxed);
        assert_eq!((taken(), queue.durable()), (vec![7], 8), "the clock was set back");
    }
}
