//! Entries that were read back together.

use std::ops::Range;

use twinflow_connectors::{prefetch::prefetch, route::owner};

use super::{ENTRY_HEAD, Entry, EpochPart, entries, read_entry};

/// How many entries ahead the bytes of one are asked for.
const AHEAD: usize = 32;

/// A stretch of what a store holds, in the order in which it was written.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// What was read.
    pub bytes: Vec<u8>,
    /// Where entries are in it.
    pub places: Places,
}

/// Where entries are that were looked at, in the order in which they were written, and by shard: a
/// shard has the buckets that the worker with its number owns.
#[derive(Clone, Debug, Default)]
pub struct Places {
    bodies: Vec<Range<usize>>,
    /// Where entries of twins begin, by shard.
    shards: Vec<Vec<usize>>,
    /// Where those begin that belong to no twin.
    ledger: Vec<usize>,
}

impl Places {
    /// Begins anew, for so many shards.
    pub fn clear(&mut self, shards: usize) {
        self.bodies.clear();
        self.ledger.clear();
        self.shards.resize(shards, Vec::new());
        self.shards.iter_mut().for_each(Vec::clear);
    }

    /// Adds all entries of a range, if there are so many, nothing else is in it, and `look` objects
    /// to none of those that belong to no twin; says whether it did.
    pub fn add(
        &mut self,
        bytes: &[u8],
        body: Range<usize>,
        expected: u32,
        mut look: impl FnMut(&Entry<'_>) -> Option<()>,
    ) -> bool {
        let (mut at, mut count) = (body.start, 0);
        for entry in entries(&bytes[body.clone()]) {
            let sound = entry.and_then(|entry| {
                if entry.kind.is_of_twin() {
                    let shards = self.shards.len();
                    self.shards.get_mut(owner(entry.bucket, shards))?.push(at);
                } else {
                    look(&entry)?;
                    self.ledger.push(at);
                }
                Some(ENTRY_HEAD + entry.key.len() + entry.value.len())
            });
            let Some(length) = sound else {
                self.forget_from(body.start);
                return false;
            };
            at += length;
            count += 1;
        }
        if count != expected {
            self.forget_from(body.start);
            return false;
        }
        self.bodies.push(body);
        true
    }

    fn forget_from(&mut self, start: usize) {
        for places in self.shards.iter_mut().chain([&mut self.ledger]) {
            places.truncate(places.partition_point(|at| *at < start));
        }
    }
}

impl Piece {
    /// All entries of a part, for so many shards.
    ///
    /// # Panics
    ///
    /// The part has entries of buckets that there are not.
    pub fn of_part(part: EpochPart, shards: usize) -> Self {
        let (expected, bytes) = (part.len(), part.into_buffer());
        let mut places = Places::default();
        places.clear(shards);
        let all = places.add(&bytes, 0..bytes.len(), expected, |_| Some(()));
        assert!(all, "a part holds whole entries");
        Self { bytes, places }
    }

    /// All entries, in the order in which they were written.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let bodies = self.places.bodies.iter();
        bodies.flat_map(|body| entries(&self.bytes[body.clone()]).map_while(|entry| entry))
    }

    /// Entries of the twins of a shard, the newest first.
    pub fn of_shard(&self, shard: usize) -> impl Iterator<Item = Entry<'_>> {
        self.newest_first(&self.places.shards[shard])
    }

    /// Entries that belong to no twin, the newest first.
    pub fn of_ledger(&self) -> impl Iterator<Item = Entry<'_>> {
        self.newest_first(&self.places.ledger)
    }

    fn newest_first<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = Entry<'a>> {
        let read = |(nth, at): (usize, &usize)| {
            if let Some(ahead) = nth.checked_sub(AHEAD).and_then(|nth| places.get(nth)) {
                prefetch(&self.bytes[*ahead]);
            }
            read_entry(&self.bytes[*at..]).map(|(entry, _)| entry)
        };
        places.iter().enumerate().rev().filter_map(read)
    }

    /// How many entries of twins there are.
    pub fn twin_entries(&self) -> usize {
        self.places.shards.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EntryKind;

    #[test]
    fn entries_are_given_in_order_and_by_shard_the_newest_first() {
        let mut part = EpochPart::default();
        part.put(EntryKind::State, 0, 0, b"a", b"value");
        part.put(EntryKind::Removal, 4095, 0, b"b", b"");
        part.put_ledger(EntryKind::Time, 0, b"c", b"value");
        part.put(EntryKind::Route, 1, 0, b"d", b"value");
        let piece = Piece::of_part(part, 2);
        let keys = |entries: &mut dyn Iterator<Item = Entry<'_>>| {
            entries.map(|entry| char::from(entry.key[0])).collect::<String>()
        };
        assert_eq!(keys(&mut piece.entries()), "abcd");
        assert_eq!(keys(&mut piece.of_shard(0)), "da");
        assert_eq!(keys(&mut piece.of_shard(1)), "b");
        assert_eq!(keys(&mut piece.of_ledger()), "c");
        assert_eq!(piece.twin_entries(), 3);
    }

    #[test]
    fn what_is_no_entry_in_whole_adds_nothing() {
        let mut part = EpochPart::default();
        part.put(EntryKind::State, 1, 0, b"a", b"value");
        part.put_ledger(EntryKind::Name, 0, b"b", b"value");
        let good = part.bytes().len();
        let bytes = [part.bytes(), part.bytes(), &part.bytes()[..good - 1]].concat();
        let mut places = Places::default();
        places.clear(1);
        assert!(places.add(&bytes, 0..good, 2, |_| Some(())));
        assert!(!places.add(&bytes, good..2 * good, 2, |_| None));
        assert!(!places.add(&bytes, good..2 * good, 3, |_| Some(())));
        assert!(!places.add(&bytes, 2 * good..bytes.len(), 2, |_| Some(())));
        let counts = [&places.shards[0], &places.ledger].map(Vec::len);
        assert_eq!((counts, places.bodies.len()), ([1, 1], 1));
    }
}
