//! The newest value of each key while a log is read, its newest entries first: few large pieces of
//! memory, so that an entry costs a look-up, the newest one of a key a copy too, and none an
//! allocation.
//!
//! A look-up reads a cell and the record that it names, each a miss of the cache in a large log.
//! They are asked for together for many entries.

use twinflow_connectors::prefetch::prefetch;

/// Bytes of a piece; a longer record has a piece of its own.
const PIECE: usize = 4 << 20;
/// Records begin at multiples of this; so a cell can name 64 GiB of them.
const ALIGN: usize = 16;
/// Places in a piece where a record may begin.
const PLACES: usize = PIECE / ALIGN;
/// Bytes of a record before key and value.
const HEAD: usize = 20;
/// In a cell: nobody. Not 0: the kernel gives memory of zeros page by page, for the look-up that
/// reads it, and once more, with a halt of all cores, for the write behind that.
const FREE: u64 = u64::MAX;

/// Keys of many spaces with their newest values.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Open addressing: 32 bits of the hash, which choose the cell too, and the place of a record,
    /// which is less than the largest number.
    cells: Vec<u64>,
    /// Records, one behind the other in the order in which they came.
    pieces: Vec<Vec<u8>>,
    keys: usize,
    /// How many keys with a value each space has.
    live: Vec<(u16, usize)>,
}

/// One key with its newest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// Hash of the key, `twin_hash`.
    pub(super) hash: u64,
    pub(super) space: u16,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// The low 12 bits of a hash chose the shard, so cells are chosen by the bits above.
fn tag(hash: u64) -> u32 {
    (hash >> 12) as u32
}

impl Newest {
    /// Spaces with how many keys have a value in each.
    pub(super) fn live(&self) -> impl Iterator<Item = (u16, usize)> {
        self.live.iter().copied()
    }

    /// Asks for the cell where the look-up of this hash begins.
    pub(super) fn ask_cell(&self, hash: u64) {
        if let Some(cell) = self.first_cell(hash) {
            prefetch(cell);
        }
    }

    /// Asks for the record that the look-up of this hash will most likely compare.
    pub(super) fn ask_record(&self, hash: u64) {
        let named = |cell: &&u64| **cell != FREE && **cell >> 32 == u64::from(tag(hash));
        if let Some(cell) = self.first_cell(hash).filter(named)
            && let Some(first) = self.record(*cell).first_chunk::<64>()
        {
            prefetch(first);
        }
    }

    fn first_cell(&self, hash: u64) -> Option<&u64> {
        self.cells.get(tag(hash) as usize & self.cells.len().wrapping_sub(1))
    }

    /// Gives a key a value, or says that it has none, unless it was here already: that was newer.
    /// `hash` is that of the key.
    pub(super) fn put(&mut self, hash: u64, space: u16, key: &[u8], value: Option<&[u8]>) {
        if self.look(hash, space, key).is_some() {
            return;
        }
        if (self.keys + 1) * 3 > self.cells.len() * 2 {
            self.grow();
        }
        self.keys += 1;
        if value.is_some() {
            match self.live.iter_mut().find(|(known, _)| *known == space) {
                Some((_, count)) => *count += 1,
                None => self.live.push((space, 1)),
            }
        }
        let place = u32::try_from(self.store(hash, space, key, value));
        let place = place.ok().filter(|place| *place < u32::MAX);
        let place = place.expect("the stored twins of one worker are less than 64 GiB");
        put_cell(&mut self.cells, u64::from(tag(hash)) << 32 | u64::from(place));
    }

    /// The value of a key; `hash` is that of the key.
    pub(super) fn get(&self, hash: u64, space: u16, key: &[u8]) -> Option<&[u8]> {
        self.look(hash, space, key)?.map(|found| found.value)
    }

    /// All keys that have a value, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.pieces.iter().flat_map(|piece| records(piece))
    }

    /// Gives all keys that have a value, some together, and frees their memory on the way.
    pub(super) fn take_apart(
        self,
        together: usize,
        mut each: impl FnMut(&[Found<'_>]) -> Result<(), String>,
    ) -> Result<(), String> {
        // Nothing is looked up any more.
        drop(self.cells);
        for piece in self.pieces {
            let mut records = records(&piece);
            let mut found = Vec::with_capacity(together);
            loop {
                found.extend(records.by_ref().take(together));
                if found.is_empty() {
                    break;
                }
                each(&found)?;
                found.clear();
            }
        }
        Ok(())
    }

    /// The bytes from the record on that a cell names.
    fn record(&self, cell: u64) -> &[u8] {
        let place = cell as u32 as usize;
        &self.pieces[place / PLACES][place % PLACES * ALIGN..]
    }

    /// What is known of a key: nothing, that it has no value, or its value.
    fn look(&self, hash: u64, space: u16, key: &[u8]) -> Option<Option<Found<'_>>> {
        let mask = self.cells.len().checked_sub(1)?;
        let mut at = tag(hash) as usize & mask;
        while self.cells[at] != FREE {
            let cell = self.cells[at];
            if cell >> 32 == u64::from(tag(hash)) {
                let (found, is_live, _) = read(self.record(cell));
                if found.hash == hash && found.space == space && found.key == key {
                    return Some(is_live.then_some(found));
                }
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Copies key and value; says at which place.
    fn store(&mut self, hash: u64, space: u16, key: &[u8], value: Option<&[u8]>) -> usize {
        let stored = value.unwrap_or_default();
        let bytes = (HEAD + key.len() + stored.len()).next_multiple_of(ALIGN);
        let has_room = |piece: &Vec<u8>| piece.capacity() - piece.len() >= bytes;
        if !self.pieces.last().is_some_and(has_room) {
            self.pieces.push(Vec::with_capacity(bytes.max(PIECE)));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let start = piece.len();
        let mut head = [0; HEAD];
        head[0..8].copy_from_slice(&hash.to_le_bytes());
        head[8..12].copy_from_slice(&(stored.len() as u32).to_le_bytes());
        head[12..14].copy_from_slice(&space.to_le_bytes());
        head[14..16].copy_from_slice(&(key.len() as u16).to_le_bytes());
        head[16] = u8::from(value.is_some());
        piece.extend_from_slice(&head);
        piece.extend_from_slice(key);
        piece.extend_from_slice(stored);
        piece.resize(start + bytes, 0);
        number * PLACES + start / ALIGN
    }

    fn grow(&mut self) {
        let mut cells = vec![FREE; (self.cells.len() * 2).max(1024)];
        self.cells.iter().filter(|cell| **cell != FREE).for_each(|it| put_cell(&mut cells, *it));
        self.cells = cells;
    }
}

/// The records of a piece that have a value.
fn records(piece: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut rest = piece;
    let all = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (found, is_live, bytes) = read(rest);
        rest = &rest[bytes..];
        Some((found, is_live))
    });
    all.filter_map(|(found, is_live)| is_live.then_some(found))
}

/// The first record, whether it has a value, and how many bytes it takes.
fn read(bytes: &[u8]) -> (Found<'_>, bool, usize) {
    let (head, rest) = bytes.split_first_chunk::<HEAD>().expect("a record begins here");
    let word = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let hash = u64::from_le_bytes(*head.first_chunk().expect("a head is longer"));
    let value = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
    let (key, rest) = rest.split_at(usize::from(word(14)));
    let bytes = (HEAD + key.len() + value).next_multiple_of(ALIGN);
    (Found { hash, space: word(12), key, value: &rest[..value] }, head[16] == 1, bytes)
}

fn put_cell(cells: &mut [u64], cell: u64) {
    let mask = cells.len() - 1;
    let mut at = (cell >> 32) as usize & mask;
    while cells[at] != FREE {
        at = (at + 1) & mask;
    }
    cells[at] = cell;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use twinflow_connectors::route::twin_hash;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_a_map_that_is_told_everything_in_order_holds(
            steps in prop::collection::vec((0u16..3, 0u8..60, 0usize..40, any::<bool>()), 1..800),
        ) {
            let mut newest = Newest::default();
            let mut map = BTreeMap::new();
            for (number, (space, key, len, removes)) in steps.iter().copied().enumerate() {
                let key = format!("twin-{key}").into_bytes();
                match removes {
                    true => drop(map.remove(&(space, key))),
                    false => drop(map.insert((space, key), vec![number as u8; len])),
                }
            }
            for (number, (space, key, len, removes)) in steps.iter().copied().enumerate().rev() {
                let key = format!("twin-{key}").into_bytes();
                let value = vec![number as u8; len];
                newest.put(twin_hash(&key), space, &key, (!removes).then_some(&value[..]));
            }
            prop_assert_eq!(newest.live().map(|(_, count)| count).sum::<usize>(), map.len());
            let all: BTreeMap<_, _> = newest
                .iter()
                .map(|found| ((found.space, found.key.to_vec()), found.value.to_vec()))
                .collect();
            prop_assert_eq!(&all, &map);
            for ((space, key), value) in &map {
                let found = newest.get(twin_hash(key), *space, key);
                prop_assert_eq!(found, Some(value.as_slice()));
            }
            prop_assert_eq!(newest.get(twin_hash(b"nobody"), 0, b"nobody"), None);
        }
    }

    #[test]
    fn the_smallest_and_the_largest_hash_are_keys_like_others() {
        for hash in [0, u64::MAX, 0xFFF, u64::MAX << 44] {
            let mut newest = Newest::default();
            newest.put(77, 1, b"other", Some(b"x"));
            newest.ask_cell(hash);
            newest.ask_record(hash);
            assert_eq!(newest.get(hash, 1, b"key"), None, "{hash:x}");
            newest.put(hash, 1, b"key", Some(b"value"));
            newest.ask_record(hash);
            assert_eq!(newest.get(hash, 1, b"key"), Some(&b"value"[..]), "{hash:x}");
        }
    }

    #[test]
    fn a_value_longer_than_a_piece_has_its_own() {
        let mut newest = Newest::default();
        let mut put = |key: &[u8], value: &[u8]| newest.put(twin_hash(key), 1, key, Some(value));
        put(b"small", b"x");
        put(b"large", &vec![7; PIECE + 5]);
        put(b"small", b"older");
        put(b"other", b"xy");
        let lengths: Vec<_> = newest.iter().map(|found| found.value.len()).collect();
        assert_eq!(lengths, [1, PIECE + 5, 2]);
    }
}
