//! What the workers of a test hold, and a sweep of it as they would do it.

use std::collections::BTreeMap;
use std::ops::Bound;

use twinflow_operators::store::{EntryKind, EpochPart, SweepOrder, Swept};

use super::super::simulated::Random;
use super::driver::{Owned, bucket, letter};

/// Everything that is alive, by kind and key.
pub(super) type Fold = BTreeMap<(EntryKind, Vec<u8>), Vec<u8>>;

/// What an entry does to what is alive.
pub(super) fn fold(into: &mut Fold, (kind, key, value): &Owned) {
    let mut gone = |kind| drop(into.remove(&(kind, key.clone())));
    match kind {
        EntryKind::Removal => {
            gone(EntryKind::State);
            gone(EntryKind::Route);
        }
        EntryKind::Delivered => gone(EntryKind::Feedback),
        EntryKind::DeadLetterDropped => gone(EntryKind::DeadLetter),
        EntryKind::Position | EntryKind::Time => {
            let known = into.entry((*kind, key.clone())).or_default();
            if number(value) > number(known) {
                known.clone_from(value);
            }
        }
        _ => drop(into.insert((*kind, key.clone()), value.clone())),
    }
}

fn number(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The payload that the dead letter of a number has.
pub(super) fn payload_of(number: u64) -> Vec<u8> {
    vec![number as u8 | 1; (number * 37 % 900) as usize]
}

/// The dead letter with this key, as it was handed over.
pub(super) fn letter_of(key: &[u8]) -> Owned {
    let number = number(key);
    letter(number, &payload_of(number))
}

/// One worker: what it holds, and how far its sweep is.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) live: Fold,
    sweep: u64,
    at: [Option<(EntryKind, Vec<u8>)>; 2],
    done: [bool; 2],
    /// Dead letters that were dropped; the engine forgets them only when that is committed.
    dropped: Vec<Vec<u8>>,
    /// Entries of each half that an epoch rewrites; none: now many, now few.
    pub(super) pace: Option<u64>,
}

impl Worker {
    /// A worker of a new generation, with its share of what was recovered.
    pub(super) fn new(index: usize, workers: usize, all: &Fold) -> Self {
        let own = all.iter().filter(|((kind, key), _)| share(*kind, key) % workers == index);
        let live = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { index, live, ..Self::default() }
    }

    /// A few changes that no other call makes.
    pub(super) fn changes(
        &mut self,
        workers: usize,
        random: &mut Random,
        next: &mut u64,
    ) -> Vec<Owned> {
        let mut changes = vec![];
        for _ in 0..random.below(4) {
            *next += 1;
            let entry = self.change(random, *next);
            // Whoever holds it: a twin is never on two workers.
            if share(entry.0, &entry.1) % workers == self.index {
                fold(&mut self.live, &entry);
                if entry.0 == EntryKind::DeadLetterDropped {
                    self.dropped.push(entry.1.clone());
                }
                changes.push(entry);
            }
        }
        if !changes.is_empty() {
            let key = (self.index as u64).to_le_bytes().to_vec();
            let time = (EntryKind::Time, key, next.to_le_bytes().to_vec());
            fold(&mut self.live, &time);
            changes.push(time);
        }
        changes
    }

    fn change(&self, random: &mut Random, next: u64) -> Owned {
        let mut value = next.to_le_bytes().to_vec();
        value.resize(8 + random.below(300) as usize, next as u8);
        let twin = format!("twin-{}", random.below(24)).into_bytes();
        let unique = next.to_le_bytes().to_vec();
        match random.below(16) {
            0..=5 => (EntryKind::State, twin, value),
            6..=8 => (EntryKind::Removal, twin, vec![]),
            9 => (EntryKind::MessageId, [&twin[..], b"/", &unique].concat(), value),
            10 => (EntryKind::Position, vec![random.below(40) as u8], unique),
            11 => (EntryKind::Feedback, unique, value),
            12 => self.some(EntryKind::Feedback, EntryKind::Delivered, random, twin),
            13 => letter(next, &payload_of(next)),
            14 => self.some(EntryKind::DeadLetter, EntryKind::DeadLetterDropped, random, twin),
            _ => (EntryKind::Name, vec![random.below(9) as u8], value),
        }
    }

    /// An end of something that is alive; if nothing is, a twin's.
    fn some(&self, of: EntryKind, end: EntryKind, random: &mut Random, twin: Vec<u8>) -> Owned {
        let keys: Vec<_> = self.live.keys().filter(|(kind, _)| *kind == of).collect();
        if keys.is_empty() {
            return (EntryKind::Removal, twin, vec![]);
        }
        (end, keys[random.below(keys.len() as u64) as usize].1.clone(), vec![])
    }

    /// A piece of the sweep that is wanted, as a part of an epoch.
    pub(super) fn sweep(&mut self, order: SweepOrder, random: &mut Random) -> EpochPart {
        if self.sweep != order.number {
            (self.sweep, self.at, self.done) = (order.number, [None, None], [false, false]);
        }
        let mut part = EpochPart::default();
        for half in 0..2 {
            // Now the one, now the other goes on when all others are done.
            let slow = (half + self.index + order.number as usize).is_multiple_of(2);
            let many = random.below(if slow { 2 } else { 10 });
            for _ in 0..self.pace.unwrap_or(many) {
                if !self.done[half] {
                    self.piece(half, &mut part);
                }
            }
        }
        if let Some(dropped) = self.dropped.pop() {
            part.put_ledger(EntryKind::DeadLetterKept, 1, &dropped, b"\x03\0\0\0why");
        }
        let bytes = part.bytes().len() as u64;
        let [twins_done, ledger_done] = self.done;
        part.add_swept(&Swept { number: order.number, bytes, twins_done, ledger_done });
        part
    }

    fn piece(&mut self, half: usize, part: &mut EpochPart) {
        let from = self.at[half].clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.live.range((from, Bound::Unbounded));
        let is_of_half = |kind: EntryKind| usize::from(is_ledger(kind)) == half;
        let Some(((kind, key), value)) = rest.find(|((kind, _), _)| is_of_half(*kind)) else {
            self.done[half] = true;
            return;
        };
        match kind {
            EntryKind::DeadLetter => {
                part.put_ledger(EntryKind::DeadLetterKept, 1, key, &value[..7])
            }
            _ => part.put(*kind, bucket(*kind), 1, key, value),
        }
        self.at[half] = Some((*kind, key.clone()));
    }
}

fn is_ledger(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Position | EntryKind::Feedback)
}

/// What decides to which worker an entry belongs.
fn share(kind: EntryKind, key: &[u8]) -> usize {
    let twin = key.split(|byte| *byte == b'/').next().unwrap_or_default();
    match kind {
        EntryKind::State | EntryKind::Removal | EntryKind::Route | EntryKind::MessageId => {
            twin.iter().map(|byte| usize::from(*byte)).sum()
        }
        _ => usize::from(key.first().copied().unwrap_or_default()),
    }
}
