//! Where the states of twins are in a part that many epochs write to.

use std::convert::Infallible;

use crate::{
    prefetch::prefetch,
    store::{EntryKind, EpochPart},
};

/// Cache lines of an entry that are asked for: most states are not longer.
const LINES: usize = 3;
const LINE: usize = 64;

/// Per slot of a model's table the entry of its twin in the last part that it was written to.
#[derive(Debug, Default)]
pub(super) struct Places {
    of_slots: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Number of the part; no part has number 0.
    part: u32,
    at: u32,
}

impl Places {
    /// Where the entry begins in this part.
    #[inline]
    pub(super) fn get(&self, slot: u32, part: &EpochPart) -> Option<usize> {
        let place = self.of_slots.get(slot as usize)?;
        (place.part == part.number() && place.part > 0).then_some(place.at as usize)
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
        self.of_slots[index] = Place { part: part.number(), at: at as u32 };
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
        for line in part.bytes()[at..].iter().step_by(LINE).take(LINES) {
            prefetch(line);
        }
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
