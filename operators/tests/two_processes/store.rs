//! A store that keeps what it was given and can be held.

use std::sync::{Mutex, MutexGuard};

use twinflow_operators::store::{
    Claimed, Entry, EntryKind, EpochPart, EpochStore, StoreError, entries,
};

#[derive(Default)]
struct State {
    held: bool,
    /// Per worker of the generation what it has closed, and what it may be told is durable.
    closed: Vec<u64>,
    told: Vec<u64>,
    /// Kind and key of every entry.
    written: Vec<(EntryKind, Vec<u8>)>,
    commits: Vec<u64>,
}

/// The store of one process.
#[derive(Default)]
pub(crate) struct TestStore {
    state: Mutex<State>,
    bells: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl TestStore {
    pub(crate) fn new(workers: usize) -> Self {
        let (closed, told) = (vec![0; workers], vec![0; workers]);
        let state = State { closed, told, ..State::default() };
        Self { state: Mutex::new(state), bells: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn hold(&self) {
        self.state().held = true;
    }

    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.held = false;
        state.told = state.closed.clone();
        drop(state);
        self.ring();
    }

    /// Epochs that were made to count here.
    pub(crate) fn commits(&self) -> Vec<u64> {
        self.state().commits.clone()
    }

    /// How many entries of a kind there are.
    pub(crate) fn entries(&self, kind: EntryKind) -> usize {
        self.state().written.iter().filter(|(known, _)| *known == kind).count()
    }

    fn ring(&self) {
        self.bells.lock().unwrap().iter().for_each(|bell| bell());
    }
}

impl EpochStore for TestStore {
    fn replay(&self, _each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        Ok(())
    }

    fn claim(&self, _workers: usize) -> Result<Claimed, StoreError> {
        Ok(Claimed { generation: 1, base: 0 })
    }

    fn attach(&self, _worker: usize, ring: Box<dyn Fn() + Send + Sync>) {
        self.bells.lock().unwrap().push(ring);
    }

    fn append(&self, _worker: usize, _epoch: u64, part: EpochPart) {
        let read = entries(part.bytes()).map(Option::unwrap);
        let read = read.map(|entry| (entry.kind, entry.key.to_vec()));
        self.state().written.extend(read);
    }

    fn closed(&self, worker: usize, through: u64) {
        let mut state = self.state();
        state.closed[worker] = through;
        if !state.held {
            state.told[worker] = through;
        }
        drop(state);
        self.ring();
    }

    fn durable(&self, worker: usize) -> u64 {
        self.state().told[worker]
    }

    fn commit(&self, epoch: u64) -> u64 {
        self.state().commits.push(epoch);
        epoch
    }

    fn dead_letter_payload(&self, _number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn seal(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
