//! What the store gave back, folded to the newest value of each key (laws D2, D4, D8, D9).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, atomic::AtomicU64},
};

use twinflow_connectors::{
    link::{OutboxEntry, Position},
    message::Timestamp,
    route::{bucket, owner, twin_hash},
};

use crate::{
    dead_letter::{DeadLetter, read_dead_letter},
    process::{ids::twin_of_key, model_worker::ModelWorker},
    store::{Entry, EntryKind},
};

/// One recovered twin.
#[derive(Debug, Default)]
struct Twin {
    state: Vec<u8>,
    route: Option<Vec<u8>>,
}

/// Everything that a generation starts from.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The latest time of any epoch (law P6).
    pub(crate) now: Timestamp,
    twins: HashMap<(u16, Box<str>), Twin>,
    ids: HashMap<(u16, Box<[u8]>), Vec<u8>>,
    /// Names by space (0 models, 1 connections) and number.
    names: BTreeMap<(u16, u16), String>,
    positions: HashMap<(u16, String, i32), u64>,
    outbox: BTreeMap<u64, (u16, OutboxEntry)>,
    outbox_order: HashMap<(u16, Vec<u8>), u64>,
    outbox_next: u64,
    dead_letters: BTreeMap<u64, DeadLetter>,
    /// The largest number of one, of those that went, too.
    dead_letters_newest: u64,
    damage: Option<String>,
    /// Twins loaded so far, for whoever shows progress.
    pub loaded: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// Loads one thing into the model that it belongs to.
type Load<'a> = dyn FnMut(&mut dyn ModelWorker) -> Result<(), String> + 'a;

/// The space of models in entries of names.
pub const MODELS: u16 = 0;
/// The space of connections in entries of names.
pub const CONNECTIONS: u16 = 1;

impl Recovered {
    /// Takes one entry; later ones win.
    pub fn fold(&mut self, entry: Entry<'_>) {
        if self.try_fold(entry).is_none() && self.damage.is_none() {
            self.damage = Some(format!("an entry of kind {:?} cannot be read", entry.kind));
        }
    }

    fn try_fold(&mut self, entry: Entry<'_>) -> Option<()> {
        let Entry { kind, space, key, value, .. } = entry;
        match kind {
            EntryKind::State => self.twin(space, key)?.state = value.to_vec(),
            EntryKind::Route => self.twin(space, key)?.route = Some(value.to_vec()),
            EntryKind::Removal => {
                self.twins.remove(&(space, std::str::from_utf8(key).ok()?.into()));
            }
            EntryKind::Position => {
                let (topic, partition) = read_position_key(key)?;
                let next = u64::from_le_bytes(value.try_into().ok()?);
                let known = self.positions.entry((space, topic, partition)).or_default();
                *known = next.max(*known);
            }
            EntryKind::Feedback => {
                let feedback: OutboxEntry = rmp_serde::from_slice(value).ok()?;
                self.outbox_next += 1;
                self.outbox_order.insert((space, key.to_vec()), self.outbox_next);
                self.outbox.insert(self.outbox_next, (space, feedback));
            }
            EntryKind::Delivered => {
                if let Some(order) = self.outbox_order.remove(&(space, key.to_vec())) {
                    self.outbox.remove(&order);
                }
            }
            EntryKind::DeadLetter => {
                let letter = read_dead_letter(value)?;
                self.dead_letters_newest = self.dead_letters_newest.max(letter.number);
                self.dead_letters.insert(letter.number, letter);
            }
            EntryKind::DeadLetterDropped => {
                let number = u64::from_le_bytes(key.try_into().ok()?);
                self.dead_letters_newest = self.dead_letters_newest.max(number);
                self.dead_letters.remove(&number);
            }
            EntryKind::MessageId => {
                self.ids.insert((space, key.into()), value.to_vec());
            }
            EntryKind::Time => {
                let time = Timestamp(u64::from_le_bytes(value.try_into().ok()?));
                self.now = self.now.max(time);
            }
            EntryKind::Name => {
                let number = u16::from_le_bytes(key.try_into().ok()?);
                let name = String::from_utf8(value.to_vec()).ok()?;
                self.names.insert((space, number), name);
            }
        }
        Some(())
    }

    fn twin(&mut self, model: u16, key: &[u8]) -> Option<&mut Twin> {
        let id = std::str::from_utf8(key).ok()?;
        Some(self.twins.entry((model, id.into())).or_default())
    }

    /// What could not be read, if anything could not.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Number of a name in a space; `None` when it is new.
    pub fn number(&self, space: u16, name: &str) -> Option<u16> {
        let mut names = self.names.range((space, 0)..=(space, u16::MAX));
        names.find(|(_, known)| *known == name).map(|((_, number), _)| *number)
    }

    /// The first number of a space that no name has.
    pub fn free_number(&self, space: u16) -> u16 {
        let mut names = self.names.range((space, 0)..=(space, u16::MAX));
        names.next_back().map_or(0, |((_, number), _)| number + 1)
    }

    /// Gives a new name its number.
    pub fn name(&mut self, space: u16, number: u16, name: &str) {
        self.names.insert((space, number), name.to_owned());
    }

    /// Models with stored twins and connections with stored positions or feedback that `known` does
    /// not have, with how many entries each has (law D8).
    pub fn unknown(&self, known: &HashSet<(u16, u16)>) -> Vec<(u16, String, usize)> {
        let mut counts: BTreeMap<(u16, u16), usize> = BTreeMap::new();
        let models = self.twins.keys().map(|(model, _)| (MODELS, *model));
        let positions = self.positions.keys().map(|(connection, ..)| (CONNECTIONS, *connection));
        let outbox = self.outbox.values().map(|(connection, _)| (CONNECTIONS, *connection));
        for key in models.chain(positions).chain(outbox).filter(|key| !known.contains(key)) {
            *counts.entry(key).or_default() += 1;
        }
        let name = |key| self.names.get(key).cloned().unwrap_or_else(|| "(no name)".into());
        counts.iter().map(|(key, count)| (key.0, name(key), *count)).collect()
    }

    /// Stored positions of a connection (law D3).
    pub fn positions(&self, connection: u16) -> impl Iterator<Item = Position> {
        let of = self.positions.iter().filter(move |((number, ..), _)| *number == connection);
        of.map(|((_, topic, partition), next)| Position {
            topic: topic.clone(),
            partition: *partition,
            next: *next,
        })
    }

    /// Unconfirmed feedback of a connection, in order.
    pub fn outbox(&self, connection: u16) -> impl Iterator<Item = &OutboxEntry> {
        let of = self.outbox.values().filter(move |(number, _)| *number == connection);
        of.map(|(_, feedback)| feedback)
    }

    /// The largest number of a dead letter that is known, even if that one has gone.
    pub fn dead_letters_newest(&self) -> u64 {
        self.dead_letters_newest
    }

    /// All dead letters, oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead_letters.values()
    }

    /// How many twins there are.
    pub fn twins_total(&self) -> usize {
        self.twins.len()
    }

    /// Why a worker could not load its twins, if one could not.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().expect("recovery").clone()
    }

    pub(crate) fn fail(&self, why: String) {
        self.failed.lock().expect("recovery").get_or_insert(why);
    }

    /// Loads the twins and message ids of one worker; every worker does so at the same time.
    pub(crate) fn load(
        &self,
        worker: usize,
        workers: usize,
        mut with: impl FnMut(u16, &mut Load<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let is_own = |hash| owner(bucket(hash), workers) == worker;
        for ((number, id), twin) in &self.twins {
            let hash = twin_hash(id.as_bytes());
            if !is_own(hash) || twin.state.is_empty() {
                continue;
            }
            let route = twin.route.as_deref();
            with(*number, &mut |model| model.load(hash, id, &twin.state, route)).map_err(
                |why| {
                    let name = self.names.get(&(MODELS, *number)).map_or("", String::as_str);
                    format!(
                        "model \"{name}\": the stored state of twin \"{id}\" does not load: {why}"
                    )
                },
            )?;
            self.loaded.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        for ((number, key), value) in &self.ids {
            let twin = twin_of_key(key).ok_or("the key of a message id is damaged")?;
            if is_own(twin_hash(twin)) {
                with(*number, &mut |model| model.load_id(key, value))?;
            }
        }
        Ok(())
    }
}

/// Key of a position: topic, 0, partition i32.
pub(crate) fn position_key(topic: &str, partition: i32) -> Vec<u8> {
    let mut key = topic.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&partition.to_le_bytes());
    key
}

fn read_position_key(key: &[u8]) -> Option<(String, i32)> {
    let (rest, partition) = key.split_last_chunk::<4>()?;
    let topic = rest.strip_suffix(&[0])?;
    Some((String::from_utf8(topic.to_vec()).ok()?, i32::from_le_bytes(*partition)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EpochPart, entries};

    fn fold(part: &EpochPart) -> Recovered {
        let mut recovered = Recovered::default();
        for entry in entries(part.bytes()) {
            recovered.fold(entry.unwrap());
        }
        recovered
    }

    #[test]
    fn positions_fold_by_maximum_and_other_values_by_order() {
        let mut part = EpochPart::default();
        for next in [5u64, 9, 7] {
            let key = position_key("readings", 3);
            part.put_ledger(EntryKind::Position, 2, &key, &next.to_le_bytes());
        }
        part.put(EntryKind::State, 1, 0, b"t", b"old");
        part.put(EntryKind::State, 1, 0, b"t", b"new");
        part.put(EntryKind::State, 1, 0, b"gone", b"x");
        part.put(EntryKind::Removal, 1, 0, b"gone", b"");
        let recovered = fold(&part);
        let positions: Vec<_> = recovered.positions(2).collect();
        assert_eq!(positions, [Position { topic: "readings".into(), partition: 3, next: 9 }]);
        assert_eq!(recovered.twins_total(), 1);
        assert_eq!(recovered.twins[&(0, "t".into())].state, b"new");
        assert_eq!(recovered.damage(), None);
    }

    #[test]
    fn what_the_configuration_lacks_is_named_with_its_count() {
        let mut part = EpochPart::default();
        part.put_ledger(EntryKind::Name, MODELS, &4u16.to_le_bytes(), b"pumps");
        part.put(EntryKind::State, 1, 4, b"a", b"x");
        part.put(EntryKind::State, 1, 4, b"b", b"x");
        let recovered = fold(&part);
        assert_eq!(recovered.unknown(&HashSet::new()), [(MODELS, "pumps".into(), 2)]);
        assert!(recovered.unknown(&HashSet::from([(MODELS, 4)])).is_empty());
        assert_eq!(
            (recovered.number(MODELS, "pumps"), recovered.free_number(MODELS)),
            (Some(4), 5)
        );
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_said() {
        let mut part = EpochPart::default();
        part.put_ledger(EntryKind::Position, 2, b"x", b"short");
        assert!(fold(&part).damage().is_some());
    }
}
