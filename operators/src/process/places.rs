//! Where the states of twins are in a part that many epochs write to.

use std::convert::Infallible;

use twinflow_connectors::prefetch::{prefetch, prefetch_bytes};

use crate::store::{EntryKind, EpochPart};

/// Cache lines of an entry that are asked for: most states are not longer.
const LINES: usize = 3;

/// Per slot of a model's table the entry of its twin in the last part that it was written to, or
/// that it is owed to.
#[derive(Debug, Default)]
pub(super) struct Places {
    of_slots: Vec<Place>,
    /// Slots whose states are owed, some of them perhaps no more.
    owing: Vec<u32>,
    /// The part that they are owed to.
    owed_to: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Number of the part; no part has number 0.
    part: u32,
    at: u32,
    /// Bytes that are owed to the part at most, 0 for nothing.
    owed: u32,
}

/// Not written yet.
const NOWHERE: u32 = u32::MAX;

impl Places {
    /// Where the entry begins in this part.
    #[inline]
    pub(super) fn get(&self, slot: u32, part: &EpochPart) -> Option<usize> {
        let place = self.place(slot, part)?;
        (place.at != NOWHERE).then_some(place.at as usize)
    }

    #[inline]
    fn place(&self, slot: u32, part: &EpochPart) -> Option<&Place> {
        let place = self.of_slots.get(slot as usize)?;
        (place.part == part.number() && place.part > 0).then_some(place)
    }

    /// Whether the part says the state of the twin, or will.
    pub(super) fn is_in(&self, slot: u32, part: &EpochPart) -> bool {
        self.place(slot, part).is_some()
    }

    /// Whether the state of the twin is owed to this part.
    pub(super) fn is_owed(&self, slot: u32, part: &EpochPart) -> bool {
        self.place(slot, part).is_some_and(|place| place.owed > 0)
    }

    /// Notes that the state of the twin is to be written to this part, in at most so many bytes.
    #[inline]
    pub(super) fn owe(&mut self, slot: u32, part: &mut EpochPart, bytes: usize) {
        let index = slot as usize;
        if index >= self.of_slots.len() {
            self.of_slots.resize(index + 1, Place::default());
        }
        let place = &mut self.of_slots[index];
        if place.part != part.number() {
            *place = Place { part: part.number(), at: NOWHERE, owed: 0 };
        }
        let more = bytes.saturating_sub(place.owed as usize);
        if more > 0 {
            if place.owed == 0 {
                self.owing.push(slot);
                self.owed_to = part.number();
            }
            // A state is at most a gigabyte or so: its limit is far below 4 GiB.
            place.owed = bytes as u32;
            part.owe(more);
        }
    }

    /// The number of the part that something is owed to.
    pub(super) fn owes(&self) -> Option<u32> {
        (!self.owing.is_empty()).then_some(self.owed_to)
    }

    /// Slots whose states are owed; some may be owed no more, and some are there twice.
    pub(super) fn take_owing(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.owing)
    }

    /// Keeps the memory for the next ones.
    pub(super) fn give_back(&mut self, mut owing: Vec<u32>) {
        owing.clear();
        self.owing = owing;
    }

    /// Writes the state of the twin in this slot: over what an earlier epoch wrote to the same
    /// part, if that is as long. The value comes in two pieces.
    #[inline]
    pub(super) fn put(
        &mut self,
        slot: u32,
        part: &mut EpochPart,
        (bucket, model, key): (u16, u16, &[u8]),
        value: (&[u8], &[u8]),
    ) {
        if let Some(at) = self.get(slot, part) {
            if part.replace(at, EntryKind::State, key, value) {
                return;
            }
            part.void(at);
        }
        let at = part.bytes().len();
        let written = part.put_with(EntryKind::State, bucket, model, key, |to| {
            to.extend_from_slice(value.0);
            to.extend_from_slice(value.1);
            Ok::<(), Infallible>(())
        });
        debug_assert!(written.is_ok(), "copying bytes never fails");
        self.set(slot, part, at);
    }

    /// Notes that an entry begins at `at` of this part, if many epochs write to it.
    #[inline]
    pub(super) fn set(&mut self, slot: u32, part: &EpochPart, at: usize) {
        if part.number() == 0 {
            return;
        }
        let index = slot as usize;
        if index >= self.of_slots.len() {
            self.of_slots.resize(index + 1, Place::default());
        }
        // Law S4 bounds a part far below 4 GiB.
        self.of_slots[index] = Place { part: part.number(), at: at as u32, owed: 0 };
    }

    /// The twin is gone: what comes later in the part says so.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(place) = self.of_slots.get_mut(slot as usize) {
            *place = Place::default();
        }
    }

    /// Asks for the place of a twin.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(place) = self.of_slots.get(slot as usize) {
            prefetch(place);
        }
    }

    /// Asks for the entry of a twin; its place was asked for before.
    #[inline]
    pub(super) fn prefetch_entry(&self, slot: u32, part: &EpochPart) {
        let Some(at) = self.get(slot, part) else { return };
        prefetch_bytes(&part.bytes()[at..], LINES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entries;

    const T: (u16, u16, &[u8]) = (7, 3, b"t");

    fn all(part: &EpochPart) -> Vec<(EntryKind, &[u8], &[u8])> {
        let all = entries(part.bytes()).map(Option::unwrap);
        all.map(|entry| (entry.kind, entry.key, entry.value)).collect()
    }

    #[test]
    fn a_state_is_written_over_the_one_before_if_it_is_as_long() {
        let (mut places, mut part) = (Places::default(), EpochPart::numbered(Vec::new(), 1));
        places.put(5, &mut part, T, (b"v", b"1"));
        places.put(9, &mut part, (7, 3, b"other"), (b"v", b"x"));
        places.put(5, &mut part, T, (b"w", b"2"));
        let other = (EntryKind::State, &b"other"[..], &b"vx"[..]);
        assert_eq!(all(&part), [(EntryKind::State, T.2, &b"w2"[..]), other]);
        places.put(5, &mut part, T, (b"v", b"33"));
        let void = (EntryKind::Void, T.2, &b"w2"[..]);
        let longer = (EntryKind::State, T.2, &b"v33"[..]);
        assert_eq!(all(&part), [void, other, longer]);
        // The twin is gone, and another one has its slot.
        places.forget(5);
        places.put(5, &mut part, (7, 3, b"u"), (b"v", b"44"));
        assert_eq!(all(&part)[2..], [longer, (EntryKind::State, b"u", b"v44")]);
    }

    #[test]
    fn another_part_and_a_part_of_one_epoch_know_no_places() {
        let (mut places, mut part) = (Places::default(), EpochPart::numbered(Vec::new(), 1));
        places.put(5, &mut part, T, (b"v", b"1"));
        let mut next = EpochPart::numbered(Vec::new(), 2);
        places.put(5, &mut next, T, (b"v", b"2"));
        assert_eq!((places.get(5, &part), places.get(5, &next)), (None, Some(0)));
        let mut single = EpochPart::default();
        for value in [b"1", b"2"] {
            places.put(5, &mut single, T, (b"v", value));
        }
        assert_eq!((all(&single).len(), places.get(5, &next)), (2, Some(0)));
    }

    #[test]
    fn what_is_not_there_is_not_written_over() {
        let mut part = EpochPart::default();
        part.put(EntryKind::State, 7, 3, b"t", b"value");
        let mut replace =
            |at, kind, key: &[u8], value: &[u8]| part.replace(at, kind, key, (value, &[]));
        assert!(!replace(1, EntryKind::State, b"t", b"other"), "another place");
        assert!(!replace(900, EntryKind::State, b"t", b"other"), "behind the end");
        assert!(!replace(0, EntryKind::Route, b"t", b"other"), "another kind");
        assert!(!replace(0, EntryKind::State, b"u", b"other"), "another key");
        assert!(!replace(0, EntryKind::State, b"t", b"longer"), "another length");
        assert!(replace(0, EntryKind::State, b"t", b"other"));
    }
}
