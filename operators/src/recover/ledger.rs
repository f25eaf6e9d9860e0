//! What belongs to no twin (law D2), folded by one thread from its newest entries to the oldest.

use std::collections::{BTreeMap, HashMap, HashSet, btree_map::Entry::Vacant};

use twinflow_connectors::{link::OutboxEntry, message::Timestamp};

use super::{FeedbackKey, read_feedback_key, read_position_key};
use crate::{
    dead_letter::{DeadLetter, read_dead_letter},
    mistakes::{self, Mistake},
    quarantine::Quarantined,
    store::{Entry, EntryKind},
};

/// The ledger. While a log is read, what has gone is there as `None`: it may be met again, older.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The latest time of any epoch (law P6).
    pub(super) now: Timestamp,
    /// Names by space (0 models, 1 connections) and number.
    pub(super) names: BTreeMap<(u16, u16), String>,
    pub(super) positions: HashMap<(u16, String, i32), u64>,
    /// Those that a person set: what is older counts for nothing.
    set: HashSet<(u16, String, i32)>,
    pub(super) outbox: BTreeMap<FeedbackKey, Option<OutboxEntry>>,
    pub(super) dead_letters: BTreeMap<u64, Option<DeadLetter>>,
    /// The largest number of one, of those that went, too.
    pub(super) dead_letters_newest: u64,
    pub(super) quarantined: BTreeMap<(u16, String), Option<Quarantined>>,
    pub(super) damage: Option<String>,
}

impl Ledger {
    /// Takes in entries, the newest first.
    pub(super) fn fold<'e>(&mut self, newest_first: impl Iterator<Item = Entry<'e>>) {
        for entry in newest_first {
            if self.put(entry).is_none() && self.damage.is_none() {
                self.damage = Some(format!("an entry of kind {:?} cannot be read", entry.kind));
            }
        }
    }

    /// Everything was read.
    pub(super) fn forget_what_went(&mut self) {
        self.outbox.retain(|_, feedback| feedback.is_some());
        self.dead_letters.retain(|_, letter| letter.is_some());
        self.quarantined.retain(|_, twin| twin.is_some());
        self.set = HashSet::new();
    }

    fn position(&mut self, key: (u16, String, i32), next: u64) {
        if !self.set.contains(&key) {
            let by_last = mistakes::has(Mistake::PositionsByLast);
            let known = self.positions.entry(key).or_insert(next);
            *known = if by_last { *known } else { next.max(*known) };
        }
    }

    fn put(&mut self, Entry { kind, space, key, value, .. }: Entry<'_>) -> Option<()> {
        match kind {
            EntryKind::State
            | EntryKind::Route
            | EntryKind::Removal
            | EntryKind::MessageId
            | EntryKind::Void => return None,
            EntryKind::Position => {
                let (topic, partition) = read_position_key(key)?;
                self.position((space, topic, partition), read_number(value)?);
            }
            EntryKind::PositionSet => {
                let (topic, partition) = read_position_key(key)?;
                let key = (space, topic, partition);
                if !value.is_empty() {
                    self.position(key.clone(), read_number(value)?);
                }
                self.set.insert(key);
            }
            EntryKind::Feedback => {
                if let Vacant(vacant) = self.outbox.entry(read_feedback_key(space, key)?) {
                    vacant.insert(Some(rmp_serde::from_slice(value).ok()?));
                }
            }
            EntryKind::Delivered => {
                self.outbox.entry(read_feedback_key(space, key)?).or_default();
            }
            EntryKind::DeadLetter | EntryKind::DeadLetterKept => {
                let number = read_number(key)?;
                self.dead_letters_newest = self.dead_letters_newest.max(number);
                if let Vacant(vacant) = self.dead_letters.entry(number) {
                    let letter = read_dead_letter(value).filter(|letter| letter.number == number);
                    vacant.insert(Some(letter?));
                }
            }
            EntryKind::DeadLetterDropped => {
                let number = read_number(key)?;
                self.dead_letters_newest = self.dead_letters_newest.max(number);
                self.dead_letters.entry(number).or_default();
            }
            EntryKind::DeadLetterNewest => {
                self.dead_letters_newest = self.dead_letters_newest.max(read_number(value)?);
            }
            EntryKind::Time => self.now = self.now.max(Timestamp(read_number(value)?)),
            EntryKind::Name => {
                let number = u16::from_le_bytes(key.try_into().ok()?);
                let name = std::str::from_utf8(value).ok()?;
                self.names.entry((space, number)).or_insert_with(|| name.to_owned());
            }
            EntryKind::Quarantined => {
                let twin: Quarantined = rmp_serde::from_slice(value).ok()?;
                self.quarantined.entry((space, twin.twin.clone())).or_insert(Some(twin));
            }
            EntryKind::Released => {
                let twin = std::str::from_utf8(key).ok()?;
                self.quarantined.entry((space, twin.to_owned())).or_default();
            }
        }
        Some(())
    }
}

fn read_number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
