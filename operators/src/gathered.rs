//! What the twins of a worker have changed and the store was not given yet.
//!
//! A store that makes every epoch durable by itself gets a part for each. Where many epochs share
//! one commit they write to one part, and a twin that changes again replaces what it wrote.

use std::collections::VecDeque;

use crate::store::{EpochPart, EpochStore};

/// Parts of one worker, in the order of their epochs.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    parts: VecDeque<Part>,
    /// Number of the last part that was begun for many epochs.
    number: u32,
}

#[derive(Debug)]
struct Part {
    /// The last epoch that wrote to it.
    last: u64,
    part: EpochPart,
}

impl Gathered {
    /// The part that `epoch` writes to; it goes back with [`Self::put_back`].
    pub(crate) fn open(&mut self, worker: usize, epoch: u64, store: &dyn EpochStore) -> EpochPart {
        let Some(group) = store.group(worker, epoch) else {
            return EpochPart::with_buffer(store.buffer());
        };
        // An epoch before the open group belongs to the one that is being closed.
        let goes_on = |back: &Part| epoch < group || back.last >= group;
        if self.parts.back().is_some_and(goes_on)
            && let Some(back) = self.parts.pop_back()
        {
            return back.part;
        }
        self.number += 1;
        EpochPart::numbered(store.buffer(), self.number)
    }

    /// Keeps a part until it is handed over; whether there is anything in it.
    pub(crate) fn put_back(&mut self, epoch: u64, part: EpochPart) -> bool {
        let says = !part.is_empty();
        if says {
            self.parts.push_back(Part { last: epoch, part });
        }
        says
    }

    /// The part with this number, if it is here and no epoch from `end` on writes to it.
    pub(crate) fn ended(&mut self, number: u32, end: u64) -> Option<&mut EpochPart> {
        let mut ended = self.parts.iter_mut().filter(|it| it.last < end).map(|it| &mut it.part);
        ended.find(|part| part.number() == number)
    }

    /// The first part, if no epoch from `end` on writes to it, with its last epoch.
    pub(crate) fn take_before(&mut self, end: u64) -> Option<(u64, EpochPart)> {
        self.parts.front().filter(|front| front.last < end)?;
        self.parts.pop_front().map(|front| (front.last, front.part))
    }

    /// Bytes of all parts, with what is owed to them.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.part.size() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{process::tests::bench::NoStore, store::EntryKind};

    fn write(gathered: &mut Gathered, epoch: u64, store: &NoStore) {
        let mut part = gathered.open(0, epoch, store);
        part.put(EntryKind::State, 1, 1, &epoch.to_le_bytes(), b"");
        assert!(gathered.put_back(epoch, part));
    }

    fn taken(gathered: &mut Gathered, end: u64) -> Vec<(u64, u32, u32)> {
        let parts = std::iter::from_fn(|| gathered.take_before(end));
        parts.map(|(last, part)| (last, part.len(), part.number())).collect()
    }

    #[test]
    fn every_epoch_has_a_part_of_its_own() {
        let (mut gathered, store) = (Gathered::default(), NoStore::default());
        (1..4).for_each(|epoch| write(&mut gathered, epoch, &store));
        assert_eq!(taken(&mut gathered, 3), [(1, 1, 0), (2, 1, 0)]);
        assert_eq!(taken(&mut gathered, 9), [(3, 1, 0)]);
        let empty = gathered.open(0, 9, &store);
        assert!(!gathered.put_back(9, empty));
    }

    #[test]
    fn epochs_of_a_group_share_one() {
        let (mut gathered, store) = (Gathered::default(), NoStore::sharing(5));
        // Epoch 4 belongs to the group that is being closed.
        (3..8).for_each(|epoch| write(&mut gathered, epoch, &store));
        assert_eq!(taken(&mut gathered, 5), [(4, 2, 1)]);
        assert_eq!(gathered.bytes(), 3 * 20);
        assert_eq!(taken(&mut gathered, 8), [(7, 3, 2)]);
    }
}
