//! What the workers have handed over and the log thread has not written yet.
//!
//! Bounded by the dataflow, not here: it has at most 8 uncommitted epochs (law S4), each with at
//! most one part per worker. So workers never wait, and the log thread waits on a condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use twinflow_operators::store::EpochPart;

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
    bells: RwLock<Vec<Box<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<u64, Parts>,
    /// Per worker: it has handed over everything below this epoch.
    through: Vec<u64>,
    /// The first epoch that is being written.
    writing: Option<u64>,
    /// Seals that were asked for, and those that are written.
    seals_wanted: u64,
    seals_done: u64,
    failed: bool,
    stopped: bool,
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

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A generation begins behind `base`.
    pub(super) fn begin(&self, workers: usize, base: u64) {
        self.state().through = vec![base + 1; workers];
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
            if state.writable().is_some() {
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
            if let Some(first) = state.writable() {
                let closed = not_durable(&state.through, None);
                let later = state.waiting.split_off(&closed);
                state.writing = Some(first);
                return Work::Epochs(std::mem::replace(&mut state.waiting, later));
            }
            if state.seals_done < state.seals_wanted {
                if unsealed_for.is_some() {
                    return Work::Seal(self.durable());
                }
                state.seals_done = state.seals_wanted;
                self.sealed.notify_all();
            }
            state = match unsealed_for {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    let woken = self.work.wait_timeout(state, limit);
                    let (state, time) = woken.unwrap_or_else(PoisonError::into_inner);
                    if time.timed_out() && !state.stopped && state.writable().is_none() {
                        return Work::Seal(self.durable());
                    }
                    state
                }
            };
        }
    }

    /// The epochs of the last [`Work::Epochs`] are durable.
    pub(super) fn written(&self) {
        let moved = {
            let mut state = self.state();
            state.writing = None;
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
        queue.begin(2, 9);
        queue.closed(0, 12);
        assert_eq!(queue.durable(), 10, "worker 1 is not there yet");
        queue.append(1, 11, part());
        queue.closed(1, 13);
        assert_eq!(queue.durable(), 11, "epoch 10 is empty, epoch 11 waits for the disk");
        assert!(matches!(queue.next(None), Work::Epochs(epochs) if epochs.keys().eq([&11])));
        queue.closed(1, 14);
        assert_eq!(queue.durable(), 11, "what is being written is not written");
        queue.written();
        assert_eq!(queue.durable(), 12, "never past the smallest of the workers");
    }

    #[test]
    fn an_epoch_is_taken_when_all_workers_have_closed_it() {
        let queue = Queue::default();
        queue.begin(2, 0);
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
        queue.begin(1, 0);
        queue.fail();
        queue.closed(0, 5);
        assert_eq!(queue.durable(), 1);
        assert!(!queue.seal());
        assert!(matches!(queue.next(None), Work::Stop));
    }

    #[test]
    fn an_idle_log_is_sealed() {
        let queue = Queue::default();
        queue.begin(1, 4);
        assert!(matches!(queue.next(Some(Duration::ZERO)), Work::Seal(5)));
    }
}
