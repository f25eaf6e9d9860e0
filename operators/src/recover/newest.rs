//! The newest value of each key while a log is read, its newest entries first: few large pieces of
//! memory, so that an entry costs a look-up, the newest one of a key a copy too, and none an
//! allocation.
//!
//! A look-up reads a cell, an item and the bytes of the key, each a miss of the cache in a large
//! log: 0.3-0.4 us. Asked for together for many entries it is 0.1 us.

use crate::prefetch::prefetch;

/// Bytes of a piece; a longer value has a piece of its own.
const PIECE: usize = 4 << 20;
/// In a cell: nobody.
const FREE: u32 = 0;

/// Keys of many spaces with their newest values.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Open addressing; number of an item plus one.
    cells: Vec<u32>,
    items: Vec<Item>,
    pieces: Vec<Vec<u8>>,
    /// How many keys with a value each space has.
    live: Vec<(u16, usize)>,
}

/// A key and where its bytes are, the value behind the key.
#[derive(Clone, Copy, Debug)]
struct Item {
    hash: u64,
    piece: u32,
    offset: u32,
    value: u32,
    space: u16,
    key: u16,
    is_live: bool,
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

impl Newest {
    /// Spaces with how many keys have a value in each.
    pub(super) fn live(&self) -> impl Iterator<Item = (u16, usize)> {
        self.live.iter().copied()
    }

    /// Asks for the cell where the look-up of this hash begins.
    pub(super) fn ask_cell(&self, hash: u64) {
        if let Some(cell) = self.cell(hash) {
            prefetch(cell);
        }
    }

    /// Asks for the item that the look-up of this hash will most likely compare.
    pub(super) fn ask_item(&self, hash: u64) {
        if let Some(item) = self.first_item(hash) {
            prefetch(item);
        }
    }

    /// Asks for the bytes of that item.
    pub(super) fn ask_bytes(&self, hash: u64) {
        let Some(item) = self.first_item(hash) else { return };
        let bytes = &self.pieces[item.piece as usize][item.offset as usize..];
        if let Some(first) = bytes.first_chunk::<64>() {
            prefetch(first);
        }
    }

    fn cell(&self, hash: u64) -> Option<&u32> {
        self.cells.get(hash as usize >> 12 & self.cells.len().wrapping_sub(1))
    }

    fn first_item(&self, hash: u64) -> Option<&Item> {
        self.items.get((*self.cell(hash)?).checked_sub(1)? as usize)
    }

    /// Gives a key a value, or says that it has none, unless it was here already: that was newer.
    /// `hash` is that of the key.
    pub(super) fn put(&mut self, hash: u64, space: u16, key: &[u8], value: Option<&[u8]>) {
        if self.look(hash, space, key).is_some() {
            return;
        }
        if (self.items.len() + 1) * 3 > self.cells.len() * 2 {
            self.grow();
        }
        let item = self.store(hash, space, key, value);
        self.items.push(item);
        if value.is_some() {
            match self.live.iter_mut().find(|(known, _)| *known == space) {
                Some((_, count)) => *count += 1,
                None => self.live.push((space, 1)),
            }
        }
        let number = self.items.len() as u32;
        put_cell(&mut self.cells, hash, number);
    }

    /// The value of a key; `hash` is that of the key.
    pub(super) fn get(&self, hash: u64, space: u16, key: &[u8]) -> Option<&[u8]> {
        let item = &self.items[self.look(hash, space, key)?];
        item.is_live.then(|| self.found(item).value)
    }

    /// All keys that have a value, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.items.iter().filter(|item| item.is_live).map(|item| self.found(item))
    }

    /// Gives all keys that have a value, some together, and frees their memory on the way.
    pub(super) fn take_apart(
        mut self,
        together: usize,
        mut each: impl FnMut(&[Found<'_>]) -> Result<(), String>,
    ) -> Result<(), String> {
        // Nothing is looked up any more.
        self.cells = Vec::new();
        for items in self.items.chunk_by(|one, other| one.piece == other.piece) {
            let bytes = std::mem::take(&mut self.pieces[items[0].piece as usize]);
            let mut found = Vec::with_capacity(together);
            for some in items.chunks(together) {
                found.extend(some.iter().filter(|it| it.is_live).map(|it| found_in(&bytes, it)));
                each(&found)?;
                found.clear();
            }
        }
        Ok(())
    }

    fn found(&self, item: &Item) -> Found<'_> {
        found_in(&self.pieces[item.piece as usize], item)
    }

    fn look(&self, hash: u64, space: u16, key: &[u8]) -> Option<usize> {
        let mask = self.cells.len().checked_sub(1)?;
        let mut at = hash as usize >> 12 & mask;
        while self.cells[at] != FREE {
            let number = self.cells[at] as usize - 1;
            let item = &self.items[number];
            if item.hash == hash && item.space == space && self.found(item).key == key {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Copies key and value.
    fn store(&mut self, hash: u64, space: u16, key: &[u8], value: Option<&[u8]>) -> Item {
        let is_live = value.is_some();
        let value = value.unwrap_or_default();
        let bytes = key.len() + value.len();
        let has_room = |piece: &Vec<u8>| piece.capacity() - piece.len() >= bytes;
        if !self.pieces.last().is_some_and(has_room) {
            self.pieces.push(Vec::with_capacity(bytes.max(PIECE)));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let offset = piece.len();
        piece.extend_from_slice(key);
        piece.extend_from_slice(value);
        Item {
            hash,
            piece: number as u32,
            offset: offset as u32,
            value: value.len() as u32,
            space,
            key: key.len() as u16,
            is_live,
        }
    }

    fn grow(&mut self) {
        let mut cells = vec![FREE; (self.cells.len() * 2).max(1024)];
        for (number, item) in (1..).zip(&self.items) {
            put_cell(&mut cells, item.hash, number);
        }
        self.cells = cells;
    }
}

fn found_in<'b>(piece: &'b [u8], item: &Item) -> Found<'b> {
    let (key, rest) = piece[item.offset as usize..].split_at(usize::from(item.key));
    Found { hash: item.hash, space: item.space, key, value: &rest[..item.value as usize] }
}

/// The low 12 bits of a hash chose the shard, so cells are chosen by the bits above.
fn put_cell(cells: &mut [u32], hash: u64, number: u32) {
    let mask = cells.len() - 1;
    let mut at = hash as usize >> 12 & mask;
    while cells[at] != FREE {
        at = (at + 1) & mask;
    }
    cells[at] = number;
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
