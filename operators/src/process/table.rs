//! The twins of one model on one worker: an open-addressing index over slots that never move.
//!
//! The hash comes with the row. Its low 12 bits chose the bucket and so the worker; its upper 32
//! bits are the tag of a cell: the low ones of these say where the cell is, the others spare most
//! looks at a slot. So a cell tells by itself where it belongs, and a table grows without a look at
//! its twins.
//!
//! The index is 64 tables, one per 64 buckets. Each has its own limit of how full it may be, so
//! that tables which fill at the same pace do not double in the same moment.

use compact_str::CompactString;
use twinflow_connectors::{
    prefetch::prefetch,
    route::{bucket, twin_hash},
};

/// No row: the end of a list.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// Slots are allocated in chunks of this many, so that growth moves none of them.
const CHUNK: usize = 4096;
const TABLES: usize = 64;

/// Cells that are looked at to ask for a slot: those of one cache line, roughly.
const CELLS_LOOKED_AT: usize = 8;

/// One twin: what the engine keeps of it, and its state. In this order, so that a look-up reads
/// one cache line of most slots.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct TwinSlot<S> {
    /// The twin's id.
    pub(crate) id: CompactString,
    /// First row of the epoch that is worked on, [`NO_ROW`] between epochs.
    pub(crate) first: u32,
    /// Last row of the epoch.
    pub(crate) last: u32,
    /// Its data source: an index into the interned routes, 0 for none.
    pub(crate) route: u32,
    /// The state; `None` while the twin does not exist.
    pub(crate) state: Option<S>,
}

/// The twins of one model on one worker.
#[derive(Debug)]
pub(crate) struct TwinTable<S> {
    tables: Vec<Cells>,
    chunks: Vec<Vec<TwinSlot<S>>>,
    free: Vec<u32>,
    slots: usize,
}

/// Cells of `tag << 32 | slot + 1`, linear probing; 0 is empty.
#[derive(Debug, Default)]
struct Cells {
    cells: Vec<u64>,
    used: usize,
}

#[inline]
fn cell(hash: u64, slot: u32) -> u64 {
    (hash & 0xffff_ffff_0000_0000) | u64::from(slot + 1)
}

/// Where the cell of a hash, or a cell, belongs in a table with this mask.
#[inline]
fn home(hash: u64, mask: usize) -> usize {
    (hash >> 32) as usize & mask
}

/// How many twins a table of so many cells has at most: half of them to three quarters, with
/// sixteen steps between that neighbours do not share.
fn room(table: usize, cells: usize) -> usize {
    cells * (32 + table % 16) / 64
}

#[inline]
fn table_of(hash: u64) -> usize {
    usize::from(bucket(hash)) / (4096 / TABLES)
}

impl<S> TwinSlot<S> {
    /// Whether this is the slot of the twin with these bytes as its id.
    #[inline]
    pub(crate) fn is(&self, id: &[u8]) -> bool {
        self.id.as_bytes() == id
    }
}

impl<S> Default for TwinTable<S> {
    fn default() -> Self {
        let tables = std::iter::repeat_with(Cells::default).take(TABLES).collect();
        Self { tables, chunks: Vec::new(), free: Vec::new(), slots: 0 }
    }
}

impl<S> TwinTable<S> {
    /// Makes room in the index for so many twins, so that it need not grow while they come.
    pub(crate) fn expect(&mut self, twins: usize) {
        let each = twins / TABLES;
        // Some get more than their share.
        let most = each + each / 8;
        for (number, table) in self.tables.iter_mut().enumerate() {
            let mut cells = most.next_power_of_two().max(16);
            if room(number, cells) < most {
                cells *= 2;
            }
            if table.used == 0 {
                table.cells = vec![0; cells];
            }
        }
    }

    /// How many slots are in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots - self.free.len()
    }

    /// A slot that [`Self::find`] or [`Self::find_or_insert`] gave.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> &TwinSlot<S> {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// The same, to change it.
    #[inline]
    pub(crate) fn slot_mut(&mut self, index: u32) -> &mut TwinSlot<S> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// Asks for the cell where the look-up of a twin will begin.
    #[inline]
    pub(crate) fn prefetch_cell(&self, hash: u64) {
        let cells = &self.tables[table_of(hash)].cells;
        let mask = cells.len().wrapping_sub(1);
        if let Some(cell) = cells.get(home(hash, mask)) {
            prefetch(cell);
        }
    }

    /// Asks for what a look-up reads of the slot that it will most likely find, and says which one
    /// that is; its cell was asked for before. Twins stand a few cells behind their own where
    /// others came first.
    #[inline]
    pub(crate) fn prefetch_slot(&self, hash: u64) -> Option<u32> {
        let cells = &self.tables[table_of(hash)].cells;
        let mask = cells.len().wrapping_sub(1);
        for ahead in 0..CELLS_LOOKED_AT {
            match cells.get(home(hash, mask).wrapping_add(ahead) & mask) {
                Some(cell) if *cell != 0 => {
                    if (cell ^ hash) >> 32 == 0 {
                        let slot = (*cell as u32) - 1;
                        let TwinSlot { id, last, .. } = self.slot(slot);
                        prefetch(id);
                        prefetch(last);
                        return Some(slot);
                    }
                }
                _ => return None,
            }
        }
        None
    }

    /// Asks for a slot with its state.
    #[inline]
    pub(crate) fn prefetch_state(&self, index: u32) {
        prefetch(self.slot(index));
    }

    /// The slot of a twin.
    #[inline]
    pub(crate) fn find(&self, hash: u64, id: &str) -> Option<u32> {
        let cells = &self.tables[table_of(hash)].cells;
        let mask = cells.len().checked_sub(1)?;
        let mut at = home(hash, mask);
        loop {
            let cell = cells[at];
            if cell == 0 {
                return None;
            }
            if (cell ^ hash) >> 32 == 0 {
                let slot = (cell as u32) - 1;
                if self.slot(slot).is(id.as_bytes()) {
                    return Some(slot);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The slot of a twin, made when it has none; a new slot has no state.
    #[inline]
    pub(crate) fn find_or_insert(&mut self, hash: u64, id: &str) -> u32 {
        match self.find(hash, id) {
            Some(slot) => slot,
            None => self.insert(hash, id),
        }
    }

    /// The slot of a twin that has none yet.
    pub(crate) fn insert(&mut self, hash: u64, id: &str) -> u32 {
        let new = TwinSlot {
            id: CompactString::new(id),
            first: NO_ROW,
            last: NO_ROW,
            route: 0,
            state: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.slot_mut(slot) = new;
                slot
            }
            None => {
                if self.slots.is_multiple_of(CHUNK) {
                    self.chunks.push(Vec::with_capacity(CHUNK));
                }
                self.chunks.last_mut().expect("a chunk was just made").push(new);
                self.slots += 1;
                (self.slots - 1) as u32
            }
        };
        let table = table_of(hash);
        let cells = &mut self.tables[table];
        if cells.used >= room(table, cells.cells.len()) {
            cells.grow();
        }
        cells.used += 1;
        cells.put(cell(hash, slot));
        slot
    }

    /// Forgets a twin and frees its slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        let hash = twin_hash(self.slot(slot).id.as_bytes());
        let gone = cell(hash, slot);
        let table = table_of(hash);
        let mask = self.tables[table].cells.len() - 1;
        let mut hole = home(hash, mask);
        while self.tables[table].cells[hole] != gone {
            hole = (hole + 1) & mask;
        }
        // Cells behind the hole move up unless that would put them before their own place.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.tables[table].cells[at];
            if next == 0 {
                break;
            }
            let behind = at.wrapping_sub(home(next, mask)) & mask;
            if behind >= (at.wrapping_sub(hole) & mask) {
                self.tables[table].cells[hole] = next;
                hole = at;
            }
        }
        self.tables[table].cells[hole] = 0;
        self.tables[table].used -= 1;
        let freed = self.slot_mut(slot);
        (freed.state, freed.id, freed.route) = (None, CompactString::default(), 0);
        self.free.push(slot);
    }

    /// Slots from `start` on, at most `looked_at` of them, with their index.
    pub(crate) fn walk(
        &self,
        start: u32,
        looked_at: usize,
    ) -> impl Iterator<Item = (u32, &TwinSlot<S>)> {
        let end = (start as usize + looked_at).min(self.slots) as u32;
        (start..end).map(|index| (index, self.slot(index)))
    }

    /// How many slots there ever were: the end of a walk.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}

impl Cells {
    fn put(&mut self, cell: u64) {
        let mask = self.cells.len() - 1;
        let mut at = home(cell, mask);
        while self.cells[at] != 0 {
            at = (at + 1) & mask;
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let larger = (self.cells.len() * 2).max(16);
        let old = std::mem::replace(&mut self.cells, vec![0; larger]);
        old.into_iter().filter(|cell| *cell != 0).for_each(|cell| self.put(cell));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;
    use rustix::time::{ClockId, clock_gettime};

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..400), 1..1200)) {
            let mut table = TwinTable::<u32>::default();
            let mut map = HashMap::new();
            for (number, (insert, id)) in steps.into_iter().enumerate() {
                let name = format!("twin-{id}");
                let hash = twin_hash(name.as_bytes());
                if insert {
                    let slot = table.find_or_insert(hash, &name);
                    table.slot_mut(slot).state = Some(number as u32);
                    map.insert(name, number as u32);
                } else if let Some(slot) = table.find(hash, &name) {
                    prop_assert!(map.remove(&name).is_some());
                    table.remove(slot);
                } else {
                    prop_assert!(!map.contains_key(&name));
                }
            }
            prop_assert_eq!(table.len(), map.len());
            for (name, value) in &map {
                let slot = table.find(twin_hash(name.as_bytes()), name).unwrap();
                prop_assert_eq!(table.slot(slot).state, Some(*value));
            }
            let walked = table.walk(0, usize::MAX >> 1).filter(|(_, slot)| slot.state.is_some());
            prop_assert_eq!(walked.count(), map.len());
        }
    }

    #[test]
    fn tables_that_fill_together_do_not_double_together() {
        let mut table = TwinTable::<u8>::default();
        let mut grown_at = [0; TABLES];
        for number in 0..400_000 {
            let hash = twin_hash(format!("twin-{number}").as_bytes());
            let of = table_of(hash);
            let before = table.tables[of].cells.len();
            table.insert(hash, "");
            if before >= 4096 && table.tables[of].cells.len() > before {
                grown_at[of] = number;
            }
        }
        // Each has doubled to 8,192 or more; not more than an eighth of them within 4,096 twins.
        grown_at.sort_unstable();
        assert!(grown_at[0] > 0);
        assert!(grown_at.windows(9).all(|some| some[8] - some[0] > 4096), "{grown_at:?}");
    }

    #[test]
    fn what_was_expected_is_there_without_growth() {
        for twins in [0, 1, 1000, 65_536, 100_000] {
            let mut table = TwinTable::<u8>::default();
            table.expect(twins);
            let cells: usize = table.tables.iter().map(|table| table.cells.len()).sum();
            for number in 0..twins {
                let id = format!("twin-{number}");
                table.insert(twin_hash(id.as_bytes()), &id);
            }
            let after: usize = table.tables.iter().map(|table| table.cells.len()).sum();
            assert!(after <= cells + cells / 8, "{twins} twins: {cells} cells, then {after}");
        }
    }

    #[test]
    fn a_hundred_thousand_twins_keep_their_slots() {
        let mut table = TwinTable::<usize>::default();
        let ids: Vec<_> = (0..100_000).map(|number| format!("twin-{number:07}")).collect();
        let slots: Vec<_> =
            ids.iter().map(|id| table.find_or_insert(twin_hash(id.as_bytes()), id)).collect();
        for (id, slot) in ids.iter().zip(slots) {
            assert_eq!(table.find(twin_hash(id.as_bytes()), id), Some(slot));
        }
    }

    /// `cargo test --release -p twinflow-operators -- --nocapture slowest_insert` says how long.
    #[test]
    fn the_slowest_insert_takes_less_than_5_ms() {
        let ran = || std::time::Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let twins = if cfg!(debug_assertions) { 500_000 } else { 5_000_000 };
        let mut table = TwinTable::<[u64; 8]>::default();
        let mut slowest = std::time::Duration::ZERO;
        for number in 0..twins {
            let id = format!("twin-{number:07}");
            let (hash, before) = (twin_hash(id.as_bytes()), ran());
            let slot = table.insert(hash, &id);
            table.slot_mut(slot).state = Some([number; 8]);
            slowest = slowest.max(ran() - before);
        }
        eprintln!("{twins} twins: {slowest:?}");
        assert!(slowest.as_millis() < 5, "{slowest:?}");
    }
}
