//! A store whose commits a test holds back (laws D1, S4, F5, R1).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinflow_operators::store::{
    Claimed, Entry, EpochPart, EpochStore, Piece, Reading, StoreError, StoreStatistics, SweepOrder,
};

type Bell = Arc<dyn Fn() + Send + Sync>;

/// Wraps a store and holds its commits: while held, [`EpochStore::durable`] does not move and no
/// bell rings; a release moves it and rings all of them.
///
/// Held or not, an epoch never counts as durable here before every worker has closed it, so that
/// it holds back a store that says "everything" at once, too.
#[derive(Debug)]
pub struct HeldStore<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What went through a [`HeldStore`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldCounts {
    /// Parts that were appended.
    pub parts: u64,
    /// Entries in them.
    pub entries: u64,
    /// Calls of `closed`.
    pub closed: u64,
    /// Calls of `commit`.
    pub commits: u64,
    /// Rounds of bells that were held back.
    pub silenced: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: bool,
    /// What a worker was last told; frozen while held.
    told: Vec<u64>,
    /// What each worker has closed.
    through: Vec<u64>,
    bells: Vec<Bell>,
    counts: HeldCounts,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("held", &self.held).field("counts", &self.counts).finish()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings every bell, or counts that it did not.
    fn ring(&self) {
        let bells = {
            let mut state = self.state();
            if state.held {
                state.counts.silenced += 1;
                return;
            }
            state.bells.clone()
        };
        bells.iter().for_each(|bell| bell());
    }
}

impl<S: EpochStore> HeldStore<S> {
    /// A store that lets commits through until [`Self::hold`].
    pub fn new(inner: S) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// From now on nothing more becomes durable.
    pub fn hold(&self) {
        let workers = self.shared.state().through.len();
        let now: Vec<u64> = (0..workers).map(|worker| self.inner.durable(worker)).collect();
        let mut state = self.shared.state();
        if !state.held {
            let closed = state.through.iter().copied().min().unwrap_or(0);
            for (told, durable) in state.told.iter_mut().zip(now) {
                *told = (*told).max(durable.min(closed));
            }
            state.held = true;
        }
    }

    /// Lets everything through that was held back.
    pub fn release(&self) {
        self.shared.state().held = false;
        self.shared.ring();
    }

    /// What went through so far.
    pub fn counts(&self) -> HeldCounts {
        self.shared.state().counts
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: EpochStore> EpochStore for HeldStore<S> {
    fn wants_states(&self) -> bool {
        self.inner.wants_states()
    }

    fn replay(&self, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        self.inner.replay(each)
    }

    fn replay_newest_first(
        &self,
        shards: usize,
        reading: &Reading,
        each: &mut dyn FnMut(&Piece),
    ) -> Result<(), StoreError> {
        self.inner.replay_newest_first(shards, reading, each)
    }

    fn claim(&self, workers: usize) -> Result<Claimed, StoreError> {
        let claimed = self.inner.claim(workers)?;
        let mut state = self.shared.state();
        state.told = vec![claimed.base + 1; workers];
        state.through = vec![claimed.base + 1; workers];
        Ok(claimed)
    }

    fn attach(&self, worker: usize, ring: Box<dyn Fn() + Send + Sync>) {
        self.shared.state().bells.push(Arc::from(ring));
        let shared = Arc::clone(&self.shared);
        self.inner.attach(worker, Box::new(move || shared.ring()));
    }

    fn group(&self, worker: usize, epoch: u64) -> Option<u64> {
        self.inner.group(worker, epoch)
    }

    fn cut(&self, worker: usize, through: u64, held: u64) -> u64 {
        self.inner.cut(worker, through, held)
    }

    fn buffer(&self) -> Vec<u8> {
        self.inner.buffer()
    }

    fn append(&self, worker: usize, epoch: u64, part: EpochPart) {
        {
            let counts = &mut self.shared.state().counts;
            counts.parts += 1;
            counts.entries += u64::from(part.len());
        }
        self.inner.append(worker, epoch, part);
    }

    fn closed(&self, worker: usize, through: u64) {
        let moved = {
            let mut state = self.shared.state();
            state.counts.closed += 1;
            let before = state.through.iter().copied().min();
            if let Some(of_worker) = state.through.get_mut(worker) {
                *of_worker = through.max(*of_worker);
            }
            before != state.through.iter().copied().min()
        };
        self.inner.closed(worker, through);
        if moved {
            self.shared.ring();
        }
    }

    fn durable(&self, worker: usize) -> u64 {
        let inner = self.inner.durable(worker);
        let mut state = self.shared.state();
        let closed = state.through.iter().copied().min().unwrap_or(0);
        let held = state.held;
        let Some(told) = state.told.get_mut(worker) else { return 0 };
        if !held {
            *told = (*told).max(inner.min(closed));
        }
        *told
    }

    fn commit(&self, epoch: u64) -> u64 {
        self.shared.state().counts.commits += 1;
        self.inner.commit(epoch)
    }

    fn sweep(&self) -> Option<SweepOrder> {
        self.inner.sweep()
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }

    fn check_room(&self) -> bool {
        self.inner.check_room()
    }

    fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.dead_letter_payload(number)
    }

    fn seal(&self) -> Result<(), StoreError> {
        self.inner.seal()
    }

    fn shared_bytes(&self) -> Option<u64> {
        self.inner.shared_bytes()
    }

    fn statistics(&self) -> StoreStatistics {
        self.inner.statistics()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::MemoryStore;
    use super::*;

    fn with_bell(workers: usize) -> (HeldStore<MemoryStore>, Arc<AtomicU64>) {
        let store = HeldStore::new(MemoryStore::new(1));
        store.claim(workers).unwrap();
        let rung = Arc::new(AtomicU64::new(0));
        let bell = Arc::clone(&rung);
        let ring = move || {
            bell.fetch_add(1, Ordering::SeqCst);
        };
        store.attach(0, Box::new(ring));
        (store, rung)
    }

    #[test]
    fn what_every_worker_closed_goes_through_until_held() {
        let (store, rung) = with_bell(2);
        store.closed(0, 4);
        assert_eq!((store.durable(0), rung.load(Ordering::SeqCst)), (1, 0));
        store.closed(1, 3);
        assert_eq!((store.durable(0), store.durable(1), rung.load(Ordering::SeqCst)), (3, 3, 1));
    }

    #[test]
    fn a_hold_freezes_and_a_release_rings() {
        let (store, rung) = with_bell(1);
        store.closed(0, 4);
        store.hold();
        store.append(0, 4, EpochPart::default());
        store.closed(0, 5);
        assert_eq!((store.durable(0), rung.load(Ordering::SeqCst)), (4, 1));
        assert_eq!(store.counts().silenced, 1);
        store.release();
        assert_eq!((store.durable(0), rung.load(Ordering::SeqCst)), (5, 2));
        assert_eq!((store.counts().parts, store.counts().closed), (1, 2));
    }
}
