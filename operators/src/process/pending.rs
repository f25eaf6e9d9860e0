//! Ids of the messages of one twin in one epoch that have no answer yet.

use std::collections::HashMap;

/// Up to this many are looked through; more get an index. Most twins have one or two.
const FEW: usize = 16;

/// A message id that waits for its answer.
#[derive(Debug)]
pub(super) struct PendingId {
    /// Index of its message among the values.
    pub(super) message: usize,
    /// Key of the id.
    pub(super) key: Vec<u8>,
    pub(super) body_hash: u64,
    pub(super) keep_secs: u64,
}

/// Those of one twin, in the order of their messages.
#[derive(Debug, Default)]
pub(super) struct PendingIds {
    list: Vec<PendingId>,
    by_key: HashMap<Vec<u8>, usize>,
    /// How many of the list are in the index.
    indexed: usize,
}

impl PendingIds {
    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.list.is_empty() || self.indexed > 0 {
            self.list.clear();
            self.by_key.clear();
            self.indexed = 0;
        }
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn push(&mut self, pending: PendingId) {
        self.list.push(pending);
    }

    /// The one with this key.
    pub(super) fn find(&mut self, key: &[u8]) -> Option<&PendingId> {
        if self.list.len() <= FEW {
            return self.list.iter().find(|pending| pending.key == key);
        }
        for (at, pending) in self.list.iter().enumerate().skip(self.indexed) {
            self.by_key.insert(pending.key.clone(), at);
        }
        self.indexed = self.list.len();
        self.by_key.get(key).map(|at| &self.list[*at])
    }

    /// Takes back the last one if it is that of this message.
    pub(super) fn pop_of(&mut self, message: usize) -> Option<PendingId> {
        let popped = self.list.pop_if(|pending| pending.message == message)?;
        if self.indexed > self.list.len() {
            self.by_key.remove(&popped.key);
            self.indexed = self.list.len();
        }
        Some(popped)
    }

    /// All of them; none are left.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<PendingId> {
        let list = std::mem::take(&mut self.list);
        self.clear();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(message: usize, key: usize) -> PendingId {
        PendingId { message, key: key.to_le_bytes().to_vec(), body_hash: 0, keep_secs: 1 }
    }

    #[test]
    fn few_and_many_are_found_and_what_was_taken_back_is_not() {
        let mut ids = PendingIds::default();
        let mut message = 0;
        for key in 0..FEW * 4 {
            assert!(ids.find(&key.to_le_bytes()).is_none(), "{key} is new");
            ids.push(pending(message, key));
            assert_eq!(ids.find(&key.to_le_bytes()).unwrap().message, message);
            if key.is_multiple_of(3) {
                assert!(ids.pop_of(message + 1).is_none());
                assert!(ids.pop_of(message).is_some());
                assert!(ids.find(&key.to_le_bytes()).is_none(), "{key} was taken back");
            } else {
                message += 1;
            }
        }
        assert_eq!(ids.find(&1usize.to_le_bytes()).unwrap().message, 0);
        assert_eq!(ids.take().len(), message);
        assert!(ids.find(&1usize.to_le_bytes()).is_none());
    }
}
