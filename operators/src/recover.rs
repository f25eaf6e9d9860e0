//! What the store gave back, folded to the newest value of each key (laws D2, D4, D8, D9).

mod newest;
mod waiting;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, atomic::AtomicU64},
};

use twinflow_connectors::{
    link::{OutboxEntry, Position},
    message::Timestamp,
    route::{LEDGER_BUCKET, bucket, owner, twin_hash},
};

use self::{
    newest::{Found, Newest},
    waiting::{Change, TOGETHER, Waiting},
};
use crate::{
    dead_letter::{DeadLetter, read_dead_letter},
    mistakes::{self, Mistake},
    process::{ids::twin_of_key, model_worker::ModelWorker, scope::put_feedback},
    quarantine::Quarantined,
    store::{Entry, EntryKind, EpochPart, entries, first_entry_len},
};

/// What twins and their message ids were, as bytes: as large as all states together.
#[derive(Debug, Default)]
struct Stored {
    states: Newest,
    routes: Newest,
    ids: Newest,
}

impl Stored {
    /// Where an entry is looked up first.
    fn of(&self, change: Change) -> &Newest {
        match change {
            Change::State | Change::Removal => &self.states,
            Change::Route => &self.routes,
            Change::Id => &self.ids,
        }
    }
}

/// Everything that a generation starts from.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The latest time of any epoch (law P6).
    pub(crate) now: Timestamp,
    stored: RwLock<Stored>,
    waiting: Waiting,
    /// Names by space (0 models, 1 connections) and number.
    names: BTreeMap<(u16, u16), String>,
    positions: HashMap<(u16, String, i32), u64>,
    outbox: BTreeMap<FeedbackKey, OutboxEntry>,
    dead_letters: BTreeMap<u64, DeadLetter>,
    /// The largest number of one, of those that went, too.
    dead_letters_newest: u64,
    quarantined: BTreeMap<(u16, String), Quarantined>,
    damage: Option<String>,
    /// Entries of models and connections that the configuration lacks, as they were stored.
    kept: EpochPart,
    /// Twins loaded so far, for whoever shows progress.
    pub loaded: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// Connection, generation, epoch, index, model and twin: unconfirmed feedback in the order in which
/// it was sent, however often a sweep has written it since.
type FeedbackKey = (u16, u64, u64, u32, u16, Box<[u8]>);

/// An entry that is carried for a later configuration.
pub(crate) struct Kept<'a> {
    /// Its bytes, if the worker that asks carries it.
    pub(crate) own: Option<&'a [u8]>,
    /// Where the next one is.
    pub(crate) next: usize,
}

/// Loads one thing into the model that it belongs to.
type Load<'a> = dyn FnMut(&mut dyn ModelWorker) -> Result<(), String> + 'a;

/// The space of models in entries of names.
pub const MODELS: u16 = 0;
/// The space of connections in entries of names.
pub const CONNECTIONS: u16 = 1;

impl Recovered {
    /// Reads all entries that `replay` gives; later ones win.
    ///
    /// # Errors
    ///
    /// What `replay` says.
    pub fn read<E>(
        replay: impl FnOnce(&mut dyn FnMut(Entry<'_>)) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut recovered = Self::default();
        replay(&mut |entry| recovered.fold(entry))?;
        recovered.bring_in();
        Ok(recovered)
    }

    /// What the entries of one part give.
    #[cfg(test)]
    pub(crate) fn of_part(part: &crate::store::EpochPart) -> Self {
        let all = |each: &mut dyn FnMut(Entry<'_>)| {
            crate::store::entries(part.bytes()).for_each(|entry| each(entry.unwrap()));
            Ok::<_, ()>(())
        };
        Self::read(all).unwrap()
    }

    fn fold(&mut self, entry: Entry<'_>) {
        if self.try_fold(entry).is_none() && self.damage.is_none() {
            self.damage = Some(format!("an entry of kind {:?} cannot be read", entry.kind));
        }
    }

    fn try_fold(&mut self, entry: Entry<'_>) -> Option<()> {
        let Entry { kind, space, key, value, .. } = entry;
        match kind {
            EntryKind::State => self.wait(Change::State, space, key, value),
            EntryKind::Route => self.wait(Change::Route, space, key, value),
            EntryKind::Removal => self.wait(Change::Removal, space, key, &[]),
            EntryKind::Position => {
                let (topic, partition) = read_position_key(key)?;
                let next = u64::from_le_bytes(value.try_into().ok()?);
                let known = self.positions.entry((space, topic, partition)).or_default();
                let last = mistakes::has(Mistake::PositionsByLast);
                *known = if last { next } else { next.max(*known) };
            }
            EntryKind::Feedback => {
                let feedback: OutboxEntry = rmp_serde::from_slice(value).ok()?;
                self.outbox.insert(read_feedback_key(space, key)?, feedback);
            }
            EntryKind::Delivered => {
                self.outbox.remove(&read_feedback_key(space, key)?);
            }
            EntryKind::DeadLetter | EntryKind::DeadLetterKept => {
                let letter = read_dead_letter(value)?;
                self.dead_letters_newest = self.dead_letters_newest.max(letter.number);
                self.dead_letters.insert(letter.number, letter);
            }
            EntryKind::DeadLetterDropped => {
                let number = u64::from_le_bytes(key.try_into().ok()?);
                self.dead_letters_newest = self.dead_letters_newest.max(number);
                self.dead_letters.remove(&number);
            }
            EntryKind::MessageId => self.wait(Change::Id, space, key, value),
            EntryKind::Time => {
                let time = Timestamp(u64::from_le_bytes(value.try_into().ok()?));
                self.now = self.now.max(time);
            }
            EntryKind::Name => {
                let number = u16::from_le_bytes(key.try_into().ok()?);
                let name = String::from_utf8(value.to_vec()).ok()?;
                self.names.insert((space, number), name);
            }
            EntryKind::Quarantined => {
                self.quarantine(space, rmp_serde::from_slice(value).ok()?);
            }
            EntryKind::Released => {
                let twin = std::str::from_utf8(key).ok()?;
                self.quarantined.remove(&(space, twin.to_owned()));
            }
            EntryKind::Void => {}
        }
        Some(())
    }

    fn stored(&self) -> RwLockReadGuard<'_, Stored> {
        self.stored.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&mut self, change: Change, space: u16, key: &[u8], value: &[u8]) {
        if self.waiting.add(change, space, key, value) {
            self.bring_in();
        }
    }

    fn bring_in(&mut self) {
        let stored = self.stored.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.waiting.bring_in(stored);
    }

    /// Every worker has loaded its own: gives the memory of stored states back.
    pub fn forget(&self) {
        *self.stored.write().unwrap_or_else(PoisonError::into_inner) = Stored::default();
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

    /// Writes all names again.
    pub(crate) fn put_names(&self, part: &mut EpochPart) {
        for ((space, number), name) in &self.names {
            part.put_ledger(EntryKind::Name, *space, &number.to_le_bytes(), name.as_bytes());
        }
    }

    /// Models with stored twins and connections with stored positions or feedback that `known` does
    /// not have, with how many entries each has (law D8).
    pub fn unknown(&self, known: &HashSet<(u16, u16)>) -> Vec<(u16, String, usize)> {
        let mut counts: BTreeMap<(u16, u16), usize> = BTreeMap::new();
        let stored = self.stored();
        let models = stored.states.iter().map(|found| (MODELS, found.space));
        let models = models.chain(self.quarantined.keys().map(|(model, _)| (MODELS, *model)));
        let positions = self.positions.keys().map(|(connection, ..)| (CONNECTIONS, *connection));
        let outbox = self.outbox.keys().map(|(connection, ..)| (CONNECTIONS, *connection));
        for key in models.chain(positions).chain(outbox).filter(|key| !known.contains(key)) {
            *counts.entry(key).or_default() += 1;
        }
        let name = |key| self.names.get(key).cloned().unwrap_or_else(|| "(no name)".into());
        counts.iter().map(|(key, count)| (key.0, name(key), *count)).collect()
    }

    /// Carries what `known` does not have through every sweep, as opaque bytes (law D8).
    pub fn keep_unknown(&mut self, known: &HashSet<(u16, u16)>) {
        let mut kept = EpochPart::default();
        let stored = self.stored();
        let is_unknown = |found: &Found<'_>| !known.contains(&(MODELS, found.space));
        for found in stored.states.iter().filter(is_unknown) {
            let bucket = bucket(found.hash);
            kept.put(EntryKind::State, bucket, found.space, found.key, found.value);
        }
        for found in stored.routes.iter().filter(is_unknown) {
            let bucket = bucket(found.hash);
            kept.put(EntryKind::Route, bucket, found.space, found.key, found.value);
        }
        for found in stored.ids.iter().filter(is_unknown) {
            let bucket = bucket(twin_hash(twin_of_key(found.key).unwrap_or_default()));
            kept.put(EntryKind::MessageId, bucket, found.space, found.key, found.value);
        }
        drop(stored);
        for ((connection, topic, partition), next) in &self.positions {
            if !known.contains(&(CONNECTIONS, *connection)) {
                let key = position_key(topic, *partition);
                kept.put_ledger(EntryKind::Position, *connection, &key, &next.to_le_bytes());
            }
        }
        for ((connection, ..), entry) in &self.outbox {
            if !known.contains(&(CONNECTIONS, *connection)) {
                put_feedback(&mut kept, *connection, entry);
            }
        }
        self.kept = kept;
    }

    /// The kept entry at this place that a worker carries, and the place behind it; what belongs to
    /// no twin is carried by the first.
    pub(crate) fn kept_at(&self, at: usize, worker: usize, workers: usize) -> Option<Kept<'_>> {
        let bytes = self.kept.bytes().get(at..)?;
        let length = first_entry_len(bytes)?;
        let entry = entries(bytes).next()??;
        let carrier = if entry.bucket == LEDGER_BUCKET { 0 } else { owner(entry.bucket, workers) };
        let own = (carrier == worker).then(|| &bytes[..length]);
        Some(Kept { own, next: at + length })
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
        let of = self.outbox.iter().filter(move |((number, ..), _)| *number == connection);
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

    /// Everything, one line each, sorted.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<String> {
        let stored = self.stored();
        let twins = stored.states.iter().map(|it| format!("twin {it:?}"));
        let routes = stored.routes.iter().map(|it| format!("route {it:?}"));
        let ids = stored.ids.iter().map(|it| format!("id {it:?}"));
        let quarantined = self.quarantined.iter().map(|it| format!("quarantined {it:?}"));
        let names = self.names.iter().map(|it| format!("name {it:?}"));
        let positions = self.positions.iter().map(|it| format!("position {it:?}"));
        let outbox = self.outbox.iter().map(|it| format!("feedback {it:?}"));
        let letters = self.dead_letters.values().map(|it| format!("dead letter {it:?}"));
        let all = twins
            .chain(routes)
            .chain(quarantined)
            .chain(ids)
            .chain(names)
            .chain(positions)
            .chain(outbox)
            .chain(letters);
        let mut all: Vec<_> = all.chain([format!("time {:?}", self.now)]).collect();
        all.sort_unstable();
        all
    }

    /// Sets a twin aside.
    pub fn quarantine(&mut self, model: u16, quarantined: Quarantined) {
        self.quarantined.insert((model, quarantined.twin.clone()), quarantined);
    }

    /// All twins in quarantine, with the numbers of their models.
    pub fn quarantined(&self) -> impl Iterator<Item = (u16, &Quarantined)> {
        self.quarantined.iter().map(|((model, _), quarantined)| (*model, quarantined))
    }

    /// How many twins there are.
    pub fn twins_total(&self) -> usize {
        self.stored().states.len()
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
        let stored = self.stored();
        let mut counts = BTreeMap::<u16, usize>::new();
        for twin in stored.states.iter().filter(|twin| is_own(twin.hash)) {
            *counts.entry(twin.space).or_default() += 1;
        }
        for (model, count) in counts {
            with(model, &mut |model| {
                model.expect(count);
                Ok(())
            })?;
        }
        let mut own = stored.states.iter().filter(|twin| is_own(twin.hash));
        let mut together = Vec::with_capacity(TOGETHER);
        loop {
            together.extend(own.by_ref().take(TOGETHER));
            if together.is_empty() {
                break;
            }
            for ask in [Newest::ask_cell, Newest::ask_item, Newest::ask_bytes] {
                together.iter().for_each(|twin| ask(&stored.routes, twin.hash));
            }
            for twin in together.drain(..) {
                self.load_twin(twin, &stored.routes, &mut with)?;
            }
        }
        for (number, id) in self.quarantined.keys() {
            if is_own(twin_hash(id.as_bytes())) {
                with(*number, &mut |model| {
                    model.quarantine(id);
                    Ok(())
                })?;
            }
        }
        for id in stored.ids.iter() {
            let twin = twin_of_key(id.key).ok_or("the key of a message id is damaged")?;
            if is_own(twin_hash(twin)) {
                with(id.space, &mut |model| model.load_id(id.key, id.value))?;
            }
        }
        Ok(())
    }
}

impl Recovered {
    fn load_twin(
        &self,
        twin: Found<'_>,
        routes: &Newest,
        with: &mut impl FnMut(u16, &mut Load<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let route = routes.get(twin.hash, twin.space, twin.key);
        let id = std::str::from_utf8(twin.key).map_err(|_| "a stored twin id is no UTF-8")?;
        let load = &mut |model: &mut dyn ModelWorker| model.load(twin.hash, id, twin.value, route);
        with(twin.space, load).map_err(|why| {
            let name = self.names.get(&(MODELS, twin.space)).map_or("", String::as_str);
            format!("model \"{name}\": the stored state of twin \"{id}\" does not load: {why}")
        })?;
        self.loaded.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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

/// What the key of feedback says, in the order in which feedback is kept.
fn read_feedback_key(connection: u16, key: &[u8]) -> Option<FeedbackKey> {
    let (model, key) = key.split_first_chunk::<2>()?;
    let (generation, key) = key.split_first_chunk::<8>()?;
    let (epoch, key) = key.split_first_chunk::<8>()?;
    let (index, twin) = key.split_first_chunk::<4>()?;
    let (generation, epoch) = (u64::from_le_bytes(*generation), u64::from_le_bytes(*epoch));
    let (index, model) = (u32::from_le_bytes(*index), u16::from_le_bytes(*model));
    Some((connection, generation, epoch, index, model, twin.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EpochPart;

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
        let recovered = Recovered::of_part(&part);
        let positions: Vec<_> = recovered.positions(2).collect();
        assert_eq!(positions, [Position { topic: "readings".into(), partition: 3, next: 9 }]);
        assert_eq!(recovered.twins_total(), 1);
        let state =
            |key: &[u8]| recovered.stored().states.get(twin_hash(key), 0, key).map(<[u8]>::to_vec);
        assert_eq!((state(b"t"), state(b"gone")), (Some(b"new".to_vec()), None));
        recovered.forget();
        assert_eq!(recovered.twins_total(), 0);
        assert_eq!(recovered.damage(), None);
    }

    #[test]
    fn what_the_configuration_lacks_is_named_with_its_count() {
        let mut part = EpochPart::default();
        part.put_ledger(EntryKind::Name, MODELS, &4u16.to_le_bytes(), b"pumps");
        part.put(EntryKind::State, 1, 4, b"a", b"x");
        part.put(EntryKind::State, 1, 4, b"b", b"x");
        let recovered = Recovered::of_part(&part);
        assert_eq!(recovered.unknown(&HashSet::new()), [(MODELS, "pumps".into(), 2)]);
        assert!(recovered.unknown(&HashSet::from([(MODELS, 4)])).is_empty());
        assert_eq!(
            (recovered.number(MODELS, "pumps"), recovered.free_number(MODELS)),
            (Some(4), 5)
        );
    }

    #[test]
    fn law_d8_what_is_kept_for_later_is_carried_once_and_unchanged() {
        let mut part = EpochPart::default();
        for number in 0..100 {
            let id = format!("pump-{number}");
            let bucket = bucket(twin_hash(id.as_bytes()));
            part.put(EntryKind::State, bucket, 4, id.as_bytes(), b"opaque");
            part.put(EntryKind::Route, bucket, 4, id.as_bytes(), &[7, 0]);
        }
        part.put_ledger(EntryKind::Position, 9, &position_key("t", 1), &5u64.to_le_bytes());
        part.put(EntryKind::State, 1, 5, b"known", b"x");
        let mut recovered = Recovered::of_part(&part);
        recovered.keep_unknown(&HashSet::from([(MODELS, 5)]));
        let mut carried = EpochPart::default();
        for worker in 0..3 {
            let mut at = 0;
            while let Some(kept) = recovered.kept_at(at, worker, 3) {
                kept.own.iter().for_each(|own| carried.put_bytes(own, 1));
                at = kept.next;
            }
        }
        assert_eq!(carried.len(), 201);
        let unknown = [(MODELS, "(no name)".into(), 100), (CONNECTIONS, "(no name)".into(), 1)];
        assert_eq!(Recovered::of_part(&carried).unknown(&HashSet::new()), unknown);
    }

    #[test]
    fn law_d2_a_twin_is_in_quarantine_until_it_is_released() {
        let one = |twin: &str| Quarantined {
            model: "pumps".into(),
            twin: twin.into(),
            reason: "signal 6".into(),
            connection: "web".into(),
            position: Some(("t".into(), 3, 4)),
            at: Timestamp(5),
        };
        let mut part = EpochPart::default();
        crate::quarantine::put_quarantined(&mut part, 4, &one("a"));
        crate::quarantine::put_quarantined(&mut part, 4, &one("b"));
        part.put_ledger(EntryKind::Released, 4, b"a", &[]);
        let recovered = Recovered::of_part(&part);
        assert_eq!(recovered.quarantined().collect::<Vec<_>>(), [(4, &one("b"))]);
        // A sweep writes the same again.
        let twins = [one("b"), one("c")].map(|twin| (4, twin));
        let mut swept = EpochPart::default();
        crate::quarantine::Quarantine::new(twins, None).put_again(&mut swept, |id| id == "b");
        assert_eq!(Recovered::of_part(&swept).quarantined().collect::<Vec<_>>(), [(4, &one("b"))]);
        assert_eq!(recovered.damage(), None);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_said() {
        let mut part = EpochPart::default();
        part.put_ledger(EntryKind::Position, 2, b"x", b"short");
        assert!(Recovered::of_part(&part).damage().is_some());
    }
}
