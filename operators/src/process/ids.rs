//! Ids of messages that were handled, so that a repetition is answered and not applied (law D5).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use serde::{Deserialize, Serialize};
use twinflow_connectors::message::Timestamp;

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
    handled: HashMap<Box<[u8]>, Handled>,
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
                self.handled.remove(&key);
            }
        }
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.handled.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_stored_form_comes_back() {
        let handled = Handled { forget_at: Timestamp(1), body_hash: 2, answer: vec![0, 255, 7] };
        let bytes = rmp_serde::to_vec(&handled).unwrap();
        assert_eq!(rmp_serde::from_slice::<Handled>(&bytes).unwrap(), handled);
    }
}
