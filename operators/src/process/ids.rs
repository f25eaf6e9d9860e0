//! Ids of messages that were handled, so that a repetition is answered and not applied (law D5).

use std::{cmp::Reverse, collections::BinaryHeap};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use twinflow_connectors::{
    message::Timestamp,
    route::{bucket, twin_hash},
};

use crate::store::{EntryKind, EpochPart};

/// What is remembered of a handled message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handled {
    /// When it may be forgotten.
    pub(crate) forget_at: Timestamp,
    /// Hash of its body: another body under the same id is another message.
    pub(crate) body_hash: u64,
    /// The answer that its sender got.
    pub(crate) answer: Vec<u8>,
}

/// The ids of one model on one worker.
#[derive(Debug, Default)]
pub(crate) struct MessageIds {
    /// By place too, so that a sweep can go on where it stopped.
    handled: IndexMap<Box<[u8]>, Handled>,
    /// When each may be forgotten, soonest first: connections differ in how long they keep ids, and
    /// recovery loads them in any order.
    by_time: BinaryHeap<Reverse<(Timestamp, Box<[u8]>)>>,
}

/// Key of an id: twin, scope (the connection) and the id itself.
pub(crate) fn id_key(twin: &str, connection: u16, id: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(twin.len() + id.len() + 4);
    key.extend_from_slice(&(twin.len() as u16).to_le_bytes());
    key.extend_from_slice(twin.as_bytes());
    key.extend_from_slice(&connection.to_le_bytes());
    key.extend_from_slice(id);
    key
}

/// The twin in a key that [`id_key`] made; `None` when the key is damaged.
pub(crate) fn twin_of_key(key: &[u8]) -> Option<&[u8]> {
    let (len, rest) = key.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_le_bytes(*len)))
}

/// The connection in a key that [`id_key`] made; `None` when the key is damaged.
pub(crate) fn scope_of_key(key: &[u8]) -> Option<u16> {
    let rest = key.get(2 + twin_of_key(key)?.len()..)?;
    rest.first_chunk::<2>().map(|number| u16::from_le_bytes(*number))
}

/// Writes that an id is forgotten before its time.
pub(crate) fn put_gone_id(part: &mut EpochPart, model: u16, key: &[u8]) {
    let bucket = bucket(twin_hash(twin_of_key(key).unwrap_or_default()));
    part.put(EntryKind::MessageId, bucket, model, key, &[]);
}

/// Stores an id with its answer.
pub(crate) fn put_id(part: &mut EpochPart, model: u16, key: &[u8], handled: &Handled) {
    let value = rmp_serde::to_vec(handled).expect("an answer always serialises");
    let bucket = bucket(twin_hash(twin_of_key(key).unwrap_or_default()));
    part.put(EntryKind::MessageId, bucket, model, key, &value);
}

impl MessageIds {
    /// What became of the message with this key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Handled> {
        self.handled.get(key)
    }

    /// Remembers a message.
    pub(crate) fn put(&mut self, key: Vec<u8>, handled: Handled) {
        let key = key.into_boxed_slice();
        self.by_time.push(Reverse((handled.forget_at, key.clone())));
        self.handled.insert(key, handled);
    }

    /// Forgets what need no longer be kept; looks at the soonest only, so that it costs nothing
    /// when there is nothing to do.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while self.by_time.peek().is_some_and(|Reverse((forget_at, _))| *forget_at <= now) {
            let Some(Reverse((_, key))) = self.by_time.pop() else { return };
            if self.handled.get(&key).is_some_and(|handled| handled.forget_at <= now) {
                self.handled.swap_remove(&key);
            }
        }
    }

    /// Gives ids to `each`, the last place first, until it says stop; whether that was all. `left`
    /// is how many are left, none before the first call.
    ///
    /// What is forgotten in between leaves its place to the last one, which was given already or is
    /// still to come; ids that are put in between may be left out.
    pub(crate) fn sweep(
        &self,
        left: &mut Option<usize>,
        mut each: impl FnMut(&[u8], &Handled) -> bool,
    ) -> bool {
        let mut at = left.unwrap_or(usize::MAX).min(self.handled.len());
        let mut more = true;
        while at > 0 && more {
            at -= 1;
            if let Some((key, handled)) = self.handled.get_index(at) {
                more = each(key, handled);
            }
        }
        *left = Some(at);
        at == 0
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.handled.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_forgotten_when_its_time_has_come_and_not_before() {
        let mut ids = MessageIds::default();
        let key = id_key("t", 1, b"k");
        let handled = Handled { forget_at: Timestamp(10), body_hash: 3, answer: b"a".to_vec() };
        ids.put(key.clone(), handled.clone());
        ids.expire(Timestamp(9));
        assert_eq!(ids.get(&key), Some(&handled));
        assert_eq!(twin_of_key(&key), Some(&b"t"[..]));
        ids.expire(Timestamp(10));
        assert_eq!((ids.get(&key), ids.len()), (None, 0));
    }

    #[test]
    fn an_id_that_is_kept_longer_does_not_keep_others() {
        let mut ids = MessageIds::default();
        for (id, at) in [(b"long", 1000), (b"mean", 20), (b"soon", 10)] {
            let handled = Handled { forget_at: Timestamp(at), body_hash: 0, answer: Vec::new() };
            ids.put(id_key("t", 1, id), handled);
        }
        ids.expire(Timestamp(10));
        assert_eq!((ids.len(), ids.get(&id_key("t", 1, b"soon"))), (2, None));
    }

    proptest! {
        #[test]
        fn a_sweep_in_pieces_misses_no_id_that_is_there_all_the_time(
            steps in prop::collection::vec((0u64..60, 0u64..40, any::<bool>()), 1..60),
        ) {
            let mut ids = MessageIds::default();
            let put = |ids: &mut MessageIds, id: u64, at: u64| {
                let handled =
                    Handled { forget_at: Timestamp(at), body_hash: 0, answer: Vec::new() };
                ids.put(id_key("t", 1, &id.to_le_bytes()), handled);
            };
            (0..60).for_each(|id| put(&mut ids, id, id));
            let (mut left, mut seen, mut done) = (None, std::collections::HashSet::new(), false);
            let mut now = 0;
            for (id, later, forget) in steps {
                if forget {
                    now += later / 10;
                    ids.expire(Timestamp(now));
                } else {
                    put(&mut ids, 1000 + id, 2000);
                }
                let mut few = 0;
                done |= ids.sweep(&mut left, |key, _| {
                    seen.insert(key.to_vec());
                    few += 1;
                    few < 4
                });
            }
            while !done {
                done = ids.sweep(&mut left, |key, _| {
                    seen.insert(key.to_vec());
                    true
                });
            }
            for id in now + 1..60 {
                prop_assert!(seen.contains(&id_key("t", 1, &id.to_le_bytes())), "{id}");
            }
        }
    }

    #[test]
    fn the_stored_form_comes_back() {
        let handled = Handled { forget_at: Timestamp(1), body_hash: 2, answer: vec![0, 255, 7] };
        let bytes = rmp_serde::to_vec(&handled).unwrap();
        assert_eq!(rmp_serde::from_slice::<Handled>(&bytes).unwrap(), handled);
    }
}
