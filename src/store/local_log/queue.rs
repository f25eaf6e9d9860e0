//! What the workers have handed over and the log thread has not written yet, and when they hand
//! over.
//!
//! Bounded by the dataflow, not here: it has at most 32 uncommitted epochs, or 256 MiB of them
//! where many share a sync (law S4). So workers never wait, and the log thread waits on a
//! condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use twinflow_operators::store::EpochPart;

use super::pace::Pace;

/// Bytes of buffers that are kept for the next parts, and how large one is at least.
const BUFFER_BYTES_MAX: usize = 32 << 20;
const BUFFER_BYTES_MIN: usize = 4 << 10;

/// The parts of one epoch by worker, those of one worker in the order in which they came.
pub(super) type Parts = Vec<Handed>;

/// What a worker handed over.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) worker: usize,
    pub(super) part: EpochPart,
    /// The first epoch of which it may hold something: where many share a sync, a part is that of
    /// its newest epoch and has what the ones before it wrote.
    since: u64,
}

/// Shared between the workers and the log thread.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The log thread waits here.
    work: Condvar,
    /// Callers of `seal` wait here.
    sealed: Condvar,
    durable: AtomicU64,
    /// Bytes of the parts that are not durable, here and with the workers.
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
    /// Where many epochs share a sync: when the workers hand over.
    pace: Option<Pace>,
    /// The log thread waits for time to pass, not for the next epoch.
    is_paced: bool,
}

/// What the log thread does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these epochs, in order, each with at least one entry.
    Epochs(BTreeMap<u64, Parts>),
    /// Write a seal. Every epoch below this one is durable.
    Seal(u64),
    /// The same because somebody stops: the marker says how far the log goes.
    Close(u64),
    /// End.
    Stop,
}

/// The smallest epoch that is not durable: what is not closed by all, or not written.
fn not_durable(through: &[u64], unwritten: Option<u64>) -> u64 {
    let closed = through.iter().copied().min().unwrap_or(0);
    unwritten.map_or(closed, |first| first.min(closed))
}

/// The first epoch of which something is in these.
fn first_of(epochs: &BTreeMap<u64, Parts>) -> Option<u64> {
    epochs.values().flatten().map(|handed| handed.since).min()
}

fn bytes_of(part: &EpochPart) -> u64 {
    part.bytes().len() as u64
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A generation begins behind `base`. Without a pace every epoch is handed over by itself.
    pub(super) fn begin(&self, workers: usize, base: u64, pace: Option<Pace>) {
        let mut state = self.state();
        (state.through, state.pace) = (vec![base + 1; workers], pace);
        drop(state);
        self.durable.store(base + 1, Ordering::Release);
    }

    /// Adds a bell.
    pub(super) fn attach(&self, ring: Box<dyn Fn() + Send + Sync>) {
        self.bells.write().unwrap_or_else(PoisonError::into_inner).push(ring);
    }

    /// A worker works off an epoch: the first epoch of the open group, if many share a sync.
    pub(super) fn group(&self, epoch: u64) -> Option<u64> {
        self.state().pace.as_mut().map(|pace| pace.begin(epoch))
    }

    /// Up to which epoch a worker hands over that has worked off everything below `through` and
    /// holds `held` bytes of it.
    pub(super) fn cut(&self, worker: usize, through: u64, held: u64) -> u64 {
        let (cut, moved) = {
            let mut state = self.state();
            let State { pace: Some(pace), .. } = &mut *state else { return through };
            let before = pace.worked_off(worker, through, held);
            self.bytes.fetch_add(held, Ordering::Relaxed);
            self.bytes.fetch_sub(before, Ordering::Relaxed);
            let moved = self.end_group(&mut state);
            if state.left().is_some() && !state.is_paced {
                self.work.notify_one();
            }
            (state.pace.as_ref().map_or(through, Pace::cut), moved)
        };
        if moved {
            self.ring();
        }
        cut
    }

    /// Ends the open group if it is time; whether it did.
    fn end_group(&self, state: &mut State) -> bool {
        let seal_asked = state.seals_done < state.seals_wanted;
        let handed = not_durable(&state.through, None);
        state.pace.as_mut().is_some_and(|pace| pace.end_group(handed, self.bytes(), seal_asked))
    }

    /// Takes a worker's part of an epoch.
    pub(super) fn append(&self, worker: usize, epoch: u64, part: EpochPart) {
        if part.is_empty() {
            return;
        }
        let mut state = self.state();
        assert!(epoch >= state.through[worker], "a worker appends before it closes an epoch");
        if !state.pace.as_mut().is_some_and(|pace| pace.handed(worker, bytes_of(&part))) {
            self.bytes.fetch_add(bytes_of(&part), Ordering::Relaxed);
        }
        let since = state.pace.as_ref().map_or(epoch, |_| state.through[worker]);
        let parts = state.waiting.entry(epoch).or_default();
        let behind = parts.partition_point(|before| before.worker <= worker);
        parts.insert(behind, Handed { worker, part, since });
    }

    /// A worker has handed over everything below `through`.
    pub(super) fn closed(&self, worker: usize, through: u64) {
        let moved = {
            let mut state = self.state();
            let worked_off =
                state.pace.as_ref().is_none_or(|pace| pace.has_worked_off(worker, through));
            assert!(worked_off, "a worker hands over what it has worked off");
            let of_worker = &mut state.through[worker];
            *of_worker = through.max(*of_worker);
            if state.is_writable() {
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

    /// Waits for work. `unsealed_for` is how long an unsealed log may be idle, if it is unsealed;
    /// `closed`: nothing came since it was closed.
    pub(super) fn next(&self, unsealed_for: Option<Duration>, closed: bool) -> Work {
        let mut state = self.state();
        loop {
            if state.stopped || state.failed {
                return Work::Stop;
            }
            if state.is_writable() {
                return state.take();
            }
            if self.end_group(&mut state) {
                drop(state);
                self.ring();
                state = self.state();
                continue;
            }
            if state.seals_done < state.seals_wanted {
                if !closed {
                    return Work::Close(self.durable());
                }
                state.seals_done = state.seals_wanted;
                self.sealed.notify_all();
            }
            let wait = state.left();
            state.is_paced = wait.is_some();
            let Some(limit) = wait.into_iter().chain(unsealed_for).min() else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let woken = self.work.wait_timeout(state, limit);
            let (again, time) = woken.unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.is_paced = false;
            if !time.timed_out() || state.stopped {
                continue;
            }
            if wait == Some(limit) {
                state.pace.as_mut().expect("it said how long").is_over();
            } else if !state.is_writable() {
                return Work::Seal(self.durable());
            }
        }
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
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept: usize = buffers.iter().map(Vec::capacity).sum();
        for handed in epochs.into_values().flatten() {
            let buffer = handed.part.into_buffer();
            let bytes = buffer.capacity();
            if bytes >= BUFFER_BYTES_MIN && kept + bytes <= BUFFER_BYTES_MAX {
                kept += bytes;
                buffers.push(buffer);
            }
        }
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
        let unwritten = state.writing.or_else(|| first_of(&state.waiting));
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
    /// Whether there is an epoch that all workers have closed and nobody has written.
    fn is_writable(&self) -> bool {
        let closed = not_durable(&self.through, None);
        self.waiting.keys().next().is_some_and(|first| *first < closed)
    }

    /// How long the workers wait before they hand over the next group, if there is one.
    fn left(&self) -> Option<Duration> {
        self.pace.as_ref().and_then(|pace| pace.left(not_durable(&self.through, None)))
    }

    /// Everything that all workers have closed.
    fn take(&mut self) -> Work {
        let later = self.waiting.split_off(&not_durable(&self.through, None));
        let epochs = std::mem::replace(&mut self.waiting, later);
        self.writing = first_of(&epochs);
        self.writing_bytes = epochs.values().flatten().map(|handed| bytes_of(&handed.part)).sum();
        Work::Epochs(epochs)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinflow_operators::store::EntryKind;

    use super::super::options::Clock;
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
        queue.begin(2, 9, None);
        queue.closed(0, 12);
        assert_eq!(queue.durable(), 10, "worker 1 is not there yet");
        queue.append(1, 11, part());
        queue.closed(1, 13);
        assert_eq!(queue.durable(), 11, "epoch 10 is empty, epoch 11 waits for the disk");
        let Work::Epochs(epochs) = queue.next(None, true) else { panic!("there is work") };
        assert!(epochs.keys().eq([&11]));
        queue.closed(1, 14);
        assert_eq!(queue.durable(), 11, "what is being written is not written");
        queue.written(epochs);
        assert_eq!(queue.durable(), 12, "never past the smallest of the workers");
    }

    #[test]
    fn a_part_with_earlier_epochs_keeps_all_of_them_from_being_durable() {
        let clock: Clock = Arc::new(|| 0);
        let queue = Queue::default();
        queue.begin(1, 7, Some(Pace::new((Duration::from_secs(1), 1000), clock, 1, 7)));
        queue.group(11);
        assert_eq!(queue.cut(0, 12, bytes_of(&part())), 12, "the first goes at once");
        queue.append(0, 11, part());
        queue.closed(0, 12);
        assert_eq!(queue.durable(), 8, "what epoch 9 wrote is in the part of epoch 11");
        let Work::Epochs(epochs) = queue.next(None, true) else { panic!("there is work") };
        assert_eq!(queue.durable(), 8);
        queue.written(epochs);
        assert_eq!(queue.durable(), 12);
    }

    #[test]
    fn an_epoch_is_taken_when_all_workers_have_closed_it() {
        let queue = Queue::default();
        queue.begin(2, 0, None);
        queue.append(0, 1, part());
        queue.append(0, 2, part());
        queue.append(1, 1, part());
        queue.closed(0, 3);
        queue.closed(1, 2);
        let Work::Epochs(epochs) = queue.next(None, true) else { panic!("there is work") };
        assert_eq!(epochs[&1].len(), 2, "the parts of both workers");
        assert!(epochs.keys().eq([&1]));
    }

    #[test]
    fn buffers_come_back_up_to_a_bound() {
        let queue = Queue::default();
        let part = |bytes| EpochPart::with_buffer(Vec::with_capacity(bytes));
        let large = BUFFER_BYTES_MAX - BUFFER_BYTES_MIN;
        let parts = [1, large, 2 * BUFFER_BYTES_MIN, BUFFER_BYTES_MIN];
        let parts = parts.map(|it| Handed { worker: 0, part: part(it), since: 1 });
        queue.keep(BTreeMap::from([(1, Vec::from(parts))]));
        let capacities: Vec<_> = (0..3).map(|_| queue.buffer().capacity()).collect();
        assert_eq!(capacities, [BUFFER_BYTES_MIN, large, 0]);
    }

    #[test]
    fn nothing_is_durable_after_a_failure() {
        let queue = Queue::default();
        queue.begin(1, 0, None);
        queue.fail();
        queue.closed(0, 5);
        assert_eq!(queue.durable(), 1);
        assert!(!queue.seal());
        assert!(matches!(queue.next(None, true), Work::Stop));
    }

    #[test]
    fn an_idle_log_is_sealed() {
        let queue = Queue::default();
        queue.begin(1, 4, None);
        assert!(matches!(queue.next(Some(Duration::ZERO), true), Work::Seal(5)));
    }

    #[test]
    fn epochs_that_share_a_sync_are_handed_over_together_and_nobody_waits_for_what_is_not_there() {
        let now = Arc::new(AtomicU64::new(5));
        let clock = Arc::clone(&now);
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let queue = Queue::default();
        let second = Duration::from_secs(1);
        queue.begin(2, 0, Some(Pace::new((second, 1000), clock, 2, 0)));
        let taken = || match queue.next(Some(Duration::from_millis(1)), true) {
            Work::Epochs(epochs) => {
                let numbers: Vec<u64> = epochs.keys().copied().collect();
                queue.written(epochs);
                numbers
            }
            Work::Seal(_) | Work::Close(_) => Vec::new(),
            Work::Stop => panic!("nobody stopped it"),
        };
        let length = bytes_of(&part());
        assert_eq!((queue.cut(0, 4, 0), queue.cut(1, 4, 0)), (4, 4), "nothing was written");
        (0..2).for_each(|worker| queue.closed(worker, 4));
        assert_eq!((queue.durable(), queue.group(4)), (4, Some(4)));
        assert_eq!(queue.cut(0, 5, length), 5, "the first after a while goes at once");
        queue.append(0, 4, part());
        queue.closed(0, 5);
        assert_eq!((taken(), queue.bytes()), (vec![], length), "the other worker is not there");
        assert_eq!(queue.group(5), Some(5));
        assert_eq!(queue.cut(1, 6, 0), 5);
        queue.closed(1, 5);
        assert_eq!((taken(), queue.durable(), queue.bytes()), (vec![4], 5, 0));
        assert_eq!((queue.cut(0, 7, length), taken()), (5, vec![]), "its second is not over");
        queue.group(9);
        now.store(1_000_005, Ordering::Relaxed);
        assert_eq!(queue.cut(1, 6, 0), 10, "behind all that was begun");
        assert_eq!((queue.group(8), queue.group(12)), (Some(10), Some(10)));
        assert_eq!((queue.cut(0, 10, length), queue.cut(1, 10, 0)), (10, 10));
        queue.append(0, 6, part());
        (0..2).for_each(|worker| queue.closed(worker, 10));
        assert_eq!((taken(), queue.durable()), (vec![6], 10));
        assert_eq!((queue.cut(0, 13, 999), queue.cut(0, 13, 1000)), (10, 13), "so many go at once");
        queue.append(0, 12, part());
        queue.closed(0, 13);
        now.store(3, Ordering::Relaxed);
        assert_eq!(queue.cut(1, 14, length), 13);
        queue.closed(1, 13);
        assert_eq!(queue.cut(1, 14, length), 14, "the clock was set back");
    }
}
