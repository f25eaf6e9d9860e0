//! Entries on their way into [`Newest`]: what a look-up will read is asked for while others are
//! looked up, so that it waits for memory once for many entries and not three times for each.

use twinflow_connectors::route::twin_hash;

use super::{Stored, newest::Newest};

/// Entries, and twins, that are looked up together.
pub(super) const TOGETHER: usize = 64;

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    State,
    Route,
    Id,
    /// A twin's state and route go.
    Removal,
}

/// A few entries, copied one behind the other.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    entries: Vec<One>,
}

#[derive(Clone, Copy, Debug)]
struct One {
    change: Change,
    space: u16,
    hash: u64,
    key: usize,
    value: usize,
    end: usize,
}

impl Waiting {
    /// Adds an entry behind the others; whether there are enough now.
    pub(super) fn add(&mut self, change: Change, space: u16, key: &[u8], value: &[u8]) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        let (value, end) = (start + key.len(), self.bytes.len());
        self.entries.push(One { change, space, hash: twin_hash(key), key: start, value, end });
        self.entries.len() >= TOGETHER
    }

    /// Brings all of them in, in their order.
    pub(super) fn bring_in(&mut self, stored: &mut Stored) {
        for ask in [Newest::ask_cell, Newest::ask_item, Newest::ask_bytes] {
            self.entries.iter().for_each(|one| ask(stored.of(one.change), one.hash));
        }
        for one in self.entries.drain(..) {
            let (key, value) = (&self.bytes[one.key..one.value], &self.bytes[one.value..one.end]);
            match one.change {
                Change::State => stored.states.put(one.hash, one.space, key, value),
                Change::Route => stored.routes.put(one.hash, one.space, key, value),
                Change::Id if value.is_empty() => stored.ids.remove(one.hash, one.space, key),
                Change::Id => stored.ids.put(one.hash, one.space, key, value),
                Change::Removal => {
                    stored.states.remove(one.hash, one.space, key);
                    stored.routes.remove(one.hash, one.space, key);
                }
            }
        }
        self.bytes.clear();
    }
}
