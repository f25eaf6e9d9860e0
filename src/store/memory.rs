//! The store that keeps nothing over a restart (law D13), for trials and tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use twinflow_operators::store::{
    Claimed, Entry, EntryKind, EpochPart, EpochStore, StoreError, entries,
};

use super::dead_letter;

/// Most dead letters whose payload is kept.
const DEAD_LETTERS_MAX: usize = 10_000;

/// Most bytes of dead letter payloads that are kept.
const DEAD_LETTER_BYTES_MAX: usize = 64 << 20;

/// Everything is durable at once, and gone with the process.
///
/// Only payloads of dead letters are kept, the newest 10,000 or 64 MiB of them, so that they can be
/// looked at while the process runs.
#[derive(Debug)]
pub struct MemoryStore {
    generation: u64,
    letters: Mutex<Letters>,
}

impl MemoryStore {
    /// A store for one process. `generation` should be a random number: ids of feedback are made
    /// of it, and nothing else tells this run's from those of the last one (law D6).
    pub fn new(generation: u64) -> Self {
        Self { generation, letters: Mutex::default() }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EpochStore for MemoryStore {
    fn wants_states(&self) -> bool {
        false
    }

    fn replay(&self, _each: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        Ok(())
    }

    fn claim(&self, _workers: usize) -> Result<Claimed, StoreError> {
        Ok(Claimed { generation: self.generation, base: 0 })
    }

    /// Nothing is ever waited for, so no bell is ever rung.
    fn attach(&self, _worker: usize, _ring: Box<dyn Fn() + Send + Sync>) {}

    fn append(&self, _worker: usize, _epoch: u64, part: EpochPart) {
        for entry in entries(part.bytes()).flatten() {
            let Some(number) = dead_letter::number(entry.key) else { continue };
            match entry.kind {
                EntryKind::DeadLetter => {
                    let payload = dead_letter::split(entry.value).map_or(&[][..], |(_, it)| it);
                    self.letters().keep(number, payload);
                }
                EntryKind::DeadLetterDropped => self.letters().forget(number),
                _ => {}
            }
        }
    }

    fn closed(&self, _worker: usize, _through: u64) {}

    fn durable(&self, _worker: usize) -> u64 {
        u64::MAX
    }

    fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.letters().payloads.get(&number).cloned())
    }

    fn seal(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Payloads by number, and their numbers from old to new (some of which may be gone already).
#[derive(Debug, Default)]
struct Letters {
    payloads: BTreeMap<u64, Vec<u8>>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Letters {
    fn keep(&mut self, number: u64, payload: &[u8]) {
        self.forget(number);
        self.bytes += payload.len();
        self.payloads.insert(number, payload.to_vec());
        self.order.push_back(number);
        while self.order.len() > DEAD_LETTERS_MAX || self.bytes > DEAD_LETTER_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.release(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        if self.release(number) {
            self.order.retain(|other| *other != number);
        }
    }

    fn release(&mut self, number: u64) -> bool {
        let payload = self.payloads.remove(&number);
        self.bytes -= payload.as_ref().map_or(0, Vec::len);
        payload.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(store: &MemoryStore, number: u64, payload: &[u8]) {
        let value = [&3u32.to_le_bytes()[..], b"why", payload].concat();
        let mut part = EpochPart::default();
        part.put_ledger(EntryKind::DeadLetter, 0, &number.to_le_bytes(), &value);
        store.append(0, 1, part);
    }

    #[test]
    fn law_d13_everything_is_durable_and_no_state_is_wanted() {
        let store = MemoryStore::new(77);
        assert_eq!(store.claim(2).unwrap(), Claimed { generation: 77, base: 0 });
        assert!(!store.wants_states());
        assert_eq!(store.durable(1), u64::MAX);
    }

    #[test]
    fn payloads_of_dead_letters_are_kept_until_dropped() {
        let store = MemoryStore::new(1);
        letter(&store, 5, b"payload");
        assert_eq!(store.dead_letter_payload(5).unwrap().unwrap(), b"payload");
        let mut part = EpochPart::default();
        part.put_ledger(EntryKind::DeadLetterDropped, 0, &5u64.to_le_bytes(), b"");
        store.append(0, 2, part);
        assert_eq!(store.dead_letter_payload(5).unwrap(), None);
        let letters = store.letters();
        assert_eq!((letters.bytes, letters.order.len()), (0, 0));
    }

    #[test]
    fn the_oldest_payloads_make_room_for_the_newest() {
        let store = MemoryStore::new(1);
        for number in 0..DEAD_LETTERS_MAX as u64 + 3 {
            letter(&store, number, b"x");
        }
        assert_eq!(store.dead_letter_payload(2).unwrap(), None);
        assert!(store.dead_letter_payload(3).unwrap().is_some());

        let big = vec![0; DEAD_LETTER_BYTES_MAX / 2];
        for number in 20_000..20_003 {
            letter(&store, number, &big);
        }
        assert_eq!(store.dead_letter_payload(20_000).unwrap(), None);
        assert!(store.dead_letter_payload(20_002).unwrap().is_some());
        assert!(store.letters().bytes <= DEAD_LETTER_BYTES_MAX);
    }
}
