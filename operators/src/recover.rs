//! What the store gave back, folded to the newest value of each key (laws D2, D4, D8, D9).
//!
//! The store gives its newest entries first, so the first one of a key is the one that counts, and
//! what it replaced is not even copied. Twins are folded by a thread for each worker that there
//! will be, the ledger by one more.

mod ledger;
mod newest;
mod progress;
mod shard;
mod visit;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use twinflow_connectors::{
    link::{OutboxEntry, Position},
    message::Timestamp,
    route::{LEDGER_BUCKET, bucket, owner, twin_hash},
};

pub use self::progress::RecoveryProgress;
pub(crate) use self::shard::Load;
pub use self::visit::{
    Removed, StoredId, StoredRoute, StoredTwin, put_position_set, put_stored_feedback,
    put_stored_head, put_stored_id, put_stored_letter, put_stored_position,
};
use self::{ledger::Ledger, shard::Shard};
use crate::{
    dead_letter::DeadLetter,
    process::scope::put_feedback,
    quarantine::Quarantined,
    store::{EntryKind, EpochPart, Piece, Reading, entries, first_entry_len},
};

/// Pieces with fewer entries of twins are folded on one thread: starting others takes longer.
const ALONE_UP_TO: usize = 1000;

/// Everything that a generation starts from.
#[derive(Debug, Default)]
pub struct Recovered {
    ledger: Ledger,
    /// Twins by worker, until that has loaded them.
    shards: Vec<Mutex<Shard>>,
    progress: Arc<RecoveryProgress>,
    /// Entries of models and connections that the configuration lacks, as they were stored.
    kept: EpochPart,
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

/// The space of models in entries of names.
pub const MODELS: u16 = 0;
/// The space of connections in entries of names.
pub const CONNECTIONS: u16 = 1;

impl Recovered {
    /// Reads all pieces that `replay` gives, the newest first, for so many workers.
    ///
    /// # Errors
    ///
    /// What `replay` says.
    pub fn read<E>(
        workers: usize,
        progress: Arc<RecoveryProgress>,
        replay: impl FnOnce(&Reading, &mut dyn FnMut(&Piece)) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut ledger = Ledger::default();
        let mut shards: Vec<Shard> = (0..workers).map(|_| Shard::default()).collect();
        replay(&progress.reading, &mut |piece| fold(piece, &mut ledger, &mut shards))?;
        ledger.forget_what_went();
        let twins = shards.iter().flat_map(Shard::twins).map(|(_, count)| count).sum::<usize>();
        progress.found(twins as u64);
        let shards = shards.into_iter().map(Mutex::new).collect();
        Ok(Self { ledger, shards, progress, ..Self::default() })
    }

    /// What the entries of one part give, for one worker.
    #[cfg(test)]
    pub(crate) fn of_part(part: &EpochPart) -> Self {
        let all = |_: &Reading, each: &mut dyn FnMut(&Piece)| {
            each(&Piece::of_part(part.clone(), 1));
            Ok::<_, ()>(())
        };
        Self::read(1, Arc::default(), all).unwrap()
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What could not be read, if anything could not.
    pub fn damage(&self) -> Option<&str> {
        self.ledger.damage.as_deref()
    }

    /// The latest time of any epoch (law P6).
    pub fn now(&self) -> Timestamp {
        self.ledger.now
    }

    /// Number of a name in a space; `None` when it is new.
    pub fn number(&self, space: u16, name: &str) -> Option<u16> {
        let mut names = self.ledger.names.range((space, 0)..=(space, u16::MAX));
        names.find(|(_, known)| *known == name).map(|((_, number), _)| *number)
    }

    /// The first number of a space that no name has.
    pub fn free_number(&self, space: u16) -> u16 {
        let mut names = self.ledger.names.range((space, 0)..=(space, u16::MAX));
        names.next_back().map_or(0, |((_, number), _)| number + 1)
    }

    /// Gives a new name its number.
    pub fn name(&mut self, space: u16, number: u16, name: &str) {
        self.ledger.names.insert((space, number), name.to_owned());
    }

    /// Writes all names again.
    pub(crate) fn put_names(&self, part: &mut EpochPart) {
        for ((space, number), name) in &self.ledger.names {
            part.put_ledger(EntryKind::Name, *space, &number.to_le_bytes(), name.as_bytes());
        }
    }

    /// Models with stored twins and connections with stored positions or feedback that `known` does
    /// not have, with how many entries each has (law D8).
    pub fn unknown(&self, known: &HashSet<(u16, u16)>) -> Vec<(u16, String, usize)> {
        let Ledger { names, positions, outbox, quarantined, .. } = &self.ledger;
        let mut counts: BTreeMap<(u16, u16), usize> = BTreeMap::new();
        let mut count = |key, some| {
            if !known.contains(&key) {
                *counts.entry(key).or_default() += some;
            }
        };
        for shard in self.shards() {
            shard.twins().for_each(|(model, twins)| count((MODELS, model), twins));
        }
        quarantined.keys().for_each(|(model, _)| count((MODELS, *model), 1));
        positions.keys().for_each(|(connection, ..)| count((CONNECTIONS, *connection), 1));
        outbox.keys().for_each(|(connection, ..)| count((CONNECTIONS, *connection), 1));
        let name = |key| names.get(key).cloned().unwrap_or_else(|| "(no name)".into());
        counts.iter().map(|(key, count)| (key.0, name(key), *count)).collect()
    }

    /// Carries what `known` does not have through every sweep, as opaque bytes (law D8).
    pub fn keep_unknown(&mut self, known: &HashSet<(u16, u16)>) {
        let is_unknown = |space, number| !known.contains(&(space, number));
        let mut kept = EpochPart::default();
        for shard in self.shards() {
            shard.keep(|model| is_unknown(MODELS, model), &mut kept);
        }
        for ((connection, topic, partition), next) in &self.ledger.positions {
            if is_unknown(CONNECTIONS, *connection) {
                let key = position_key(topic, *partition);
                kept.put_ledger(EntryKind::Position, *connection, &key, &next.to_le_bytes());
            }
        }
        for ((connection, ..), entry) in &self.ledger.outbox {
            if is_unknown(CONNECTIONS, *connection) {
                entry.iter().for_each(|entry| put_feedback(&mut kept, *connection, entry));
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
        let all = self.ledger.positions.iter();
        let of = all.filter(move |((number, ..), _)| *number == connection);
        of.map(|((_, topic, partition), next)| Position {
            topic: topic.clone(),
            partition: *partition,
            next: *next,
        })
    }

    /// Unconfirmed feedback of a connection, in order.
    pub fn outbox(&self, connection: u16) -> impl Iterator<Item = &OutboxEntry> {
        let all = self.ledger.outbox.iter();
        let of = all.filter(move |((number, ..), _)| *number == connection);
        of.filter_map(|(_, feedback)| feedback.as_ref())
    }

    /// The largest number of a dead letter that is known, even if that one has gone.
    pub fn dead_letters_newest(&self) -> u64 {
        self.ledger.dead_letters_newest
    }

    /// All dead letters, oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.ledger.dead_letters.values().flatten()
    }

    /// Sets a twin aside.
    pub fn quarantine(&mut self, model: u16, quarantined: Quarantined) {
        self.ledger.quarantined.insert((model, quarantined.twin.clone()), Some(quarantined));
    }

    /// All twins in quarantine, with the numbers of their models.
    pub fn quarantined(&self) -> impl Iterator<Item = (u16, &Quarantined)> {
        let all = self.ledger.quarantined.iter();
        all.filter_map(|((model, _), quarantined)| Some((*model, quarantined.as_ref()?)))
    }

    /// How many twins there were.
    pub fn twins_total(&self) -> usize {
        self.progress.twins().1 as usize
    }

    /// Why a worker could not load its twins, if one could not.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().expect("recovery").clone()
    }

    pub(crate) fn fail(&self, why: String) {
        self.failed.lock().expect("recovery").get_or_insert(why);
    }

    /// Loads the twins and message ids of one worker, and forgets them; every worker does so at
    /// the same time.
    pub(crate) fn load(
        &self,
        worker: usize,
        workers: usize,
        mut with: impl FnMut(u16, &mut Load<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some(shard) = self.shards().nth(worker).map(|mut shard| std::mem::take(&mut *shard))
        else {
            return Ok(());
        };
        let loaded = |twins| self.progress.add_loaded(twins as u64);
        shard.load((worker, workers), &self.ledger.names, loaded, &mut with)?;
        for (number, id) in self.ledger.quarantined.keys() {
            if owner(bucket(twin_hash(id.as_bytes())), workers) == worker {
                with(*number, &mut |model| {
                    model.quarantine(id);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Everything, one line each, sorted.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<String> {
        let Ledger { now, names, positions, outbox, quarantined, .. } = &self.ledger;
        let mut all: Vec<_> = self.shards().flat_map(|shard| shard.dump()).collect();
        all.extend(quarantined.iter().map(|it| format!("quarantined {it:?}")));
        all.extend(names.iter().map(|it| format!("name {it:?}")));
        all.extend(positions.iter().map(|it| format!("position {it:?}")));
        all.extend(outbox.iter().map(|it| format!("feedback {it:?}")));
        all.extend(self.dead_letters().map(|it| format!("dead letter {it:?}")));
        all.push(format!("time {now:?}"));
        all.push(format!("newest dead letter {}", self.dead_letters_newest()));
        all.sort_unstable();
        all
    }
}

fn fold(piece: &Piece, ledger: &mut Ledger, shards: &mut [Shard]) {
    if piece.twin_entries() <= ALONE_UP_TO {
        for (number, shard) in shards.iter_mut().enumerate() {
            shard.fold(piece.of_shard(number));
        }
        return ledger.fold(piece.of_ledger());
    }
    thread::scope(|scope| {
        for (number, shard) in shards.iter_mut().enumerate() {
            scope.spawn(move || shard.fold(piece.of_shard(number)));
        }
        ledger.fold(piece.of_ledger());
    });
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
        let shard = recovered.shards[0].lock().unwrap();
        assert_eq!((shard.state(0, b"t"), shard.state(0, b"gone")), (Some(&b"new"[..]), None));
        assert_eq!(recovered.damage(), None);
    }

    #[test]
    fn pieces_and_workers_of_any_number_give_the_same() {
        let mut parts = [EpochPart::default(), EpochPart::default()];
        for (nth, part) in parts.iter_mut().enumerate() {
            for number in 0..2 * ALONE_UP_TO {
                let key = format!("twin-{}", number % 701);
                let bucket = bucket(twin_hash(key.as_bytes()));
                let value = [nth as u8, number as u8];
                match (number + nth) % 5 {
                    0 => part.put(EntryKind::Removal, bucket, 1, key.as_bytes(), &[]),
                    1 => part.put(EntryKind::Route, bucket, 1, key.as_bytes(), &value),
                    _ => part.put(EntryKind::State, bucket, 1, key.as_bytes(), &value),
                }
            }
            let time = (9 - nth as u64).to_le_bytes();
            part.put_ledger(EntryKind::Time, 0, b"0", &time);
        }
        let mut all = parts[0].clone();
        all.extend(&parts[1]);
        let whole = Recovered::of_part(&all);
        assert!((100..700).contains(&whole.twins_total()));
        for workers in [1, 2, 3, 8] {
            let newest_first = |_: &Reading, each: &mut dyn FnMut(&Piece)| {
                parts.iter().rev().for_each(|part| each(&Piece::of_part(part.clone(), workers)));
                Ok::<_, ()>(())
            };
            let recovered = Recovered::read(workers, Arc::default(), newest_first).unwrap();
            assert_eq!(recovered.dump(), whole.dump(), "{workers} workers");
        }
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
