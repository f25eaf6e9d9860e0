//! Messages that could not be decoded or processed, kept with their reason (laws P1, S7, D12).

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use twinflow_connectors::message::Timestamp;

use crate::store::{EntryKind, EpochPart};

/// What is known of a dead letter beside its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number, unique in the state directory.
    pub number: u64,
    /// What went wrong in a word.
    pub kind: DeadLetterKind,
    /// The model, where it is known.
    pub model: Option<String>,
    /// The twin, where it is known.
    pub twin: Option<String>,
    /// The connection that brought it, or should have taken it.
    pub connection: String,
    /// Topic and partition in a replayable source.
    pub partition: Option<(String, i32)>,
    /// Position in that partition.
    pub position: Option<u64>,
    /// Why, in words for a person.
    pub reason: String,
    /// How often its call was tried.
    pub attempts: u32,
    /// When it became one.
    pub at: Timestamp,
    /// In which epoch.
    pub epoch: u64,
    /// Bytes of the payload as it is kept.
    pub payload_bytes: u64,
}

impl DeadLetter {
    /// Stored form without the payload: description length u32, description.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let description = rmp_serde::to_vec_named(self).expect("a description always serialises");
        [&(description.len() as u32).to_le_bytes()[..], &description].concat()
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterKind {
    /// It had no usable model, twin id or payload.
    Undeliverable,
    /// Its payload could not be read.
    Undecodable,
    /// The processor returned an error, panicked, or passed a limit.
    Failed,
    /// Feedback that nobody took.
    Feedback,
    /// Its twin is in quarantine (law F4).
    Quarantined,
    /// An operator before the twins returned an error, panicked, or passed a limit.
    Pipeline,
}

impl DeadLetterKind {
    /// The word used in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undeliverable => "undeliverable",
            Self::Undecodable => "undecodable",
            Self::Failed => "failed",
            Self::Feedback => "feedback",
            Self::Quarantined => "quarantined",
            Self::Pipeline => "pipeline",
        }
    }
}

/// Stored form of the value of an entry: description length u32, description, payload.
pub(crate) fn put_dead_letter(part: &mut EpochPart, letter: &DeadLetter, payload: &[u8]) {
    let mut value = letter.stored();
    value.extend_from_slice(payload);
    part.put_ledger(EntryKind::DeadLetter, 0, &letter.number.to_le_bytes(), &value);
}

/// Reads the description in a stored value; `None` when it is damaged.
pub fn read_dead_letter(value: &[u8]) -> Option<DeadLetter> {
    let (len, rest) = value.split_first_chunk::<4>()?;
    rmp_serde::from_slice(rest.get(..u32::from_le_bytes(*len) as usize)?).ok()
}

/// All dead letters of a process. One is seen once its epoch is committed, until the epoch that
/// replays or drops it is.
#[derive(Debug, Default)]
pub struct DeadLetters {
    known: Mutex<BTreeMap<u64, Known>>,
    committed: AtomicU64,
    total: AtomicU64,
    /// How many go in an epoch that is not committed yet.
    going: AtomicU64,
    /// The largest number that was ever given, as far as is known.
    newest: AtomicU64,
}

#[derive(Debug)]
struct Known {
    letter: DeadLetter,
    /// The epoch in which it goes.
    gone: Option<u64>,
}

impl Known {
    fn is_seen(&self, committed: u64) -> bool {
        self.letter.epoch <= committed && self.gone.is_none_or(|epoch| epoch > committed)
    }
}

impl DeadLetters {
    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        self.known.lock().expect("dead letters")
    }

    /// Adds one; it is shown when `epoch` is committed.
    pub fn add(&self, letter: DeadLetter) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.given(letter.number);
        self.known().insert(letter.number, Known { letter, gone: None });
    }

    /// This number and all below were given, whatever became of them.
    pub fn given(&self, number: u64) {
        self.newest.fetch_max(number, Ordering::AcqRel);
    }

    /// Everything up to this epoch is committed.
    pub fn commit(&self, epoch: u64) {
        self.committed.fetch_max(epoch, Ordering::AcqRel);
        if self.going.load(Ordering::Acquire) > 0 {
            let mut known = self.known();
            let before = known.len();
            known.retain(|_, known| known.gone.is_none_or(|gone| gone > epoch));
            self.going.fetch_sub((before - known.len()) as u64, Ordering::AcqRel);
        }
    }

    /// Those with a number above `after`, committed or not, also such as go in an epoch that is not
    /// committed yet: the store knows which it has dropped.
    pub(crate) fn behind(&self, after: u64, most: usize) -> Vec<DeadLetter> {
        let known = self.known();
        let later = known.range(after.saturating_add(1)..);
        later.take(most).map(|(_, known)| known.letter.clone()).collect()
    }

    /// Takes one that goes in this epoch; `false`: there is none, or it goes already.
    pub(crate) fn take(&self, number: u64, epoch: u64) -> bool {
        let mut known = self.known();
        let Some(known) = known.get_mut(&number).filter(|known| known.gone.is_none()) else {
            return false;
        };
        known.gone = Some(epoch);
        self.going.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Leaves one that was taken where it is.
    pub(crate) fn put_back(&self, number: u64) {
        if let Some(known) = self.known().get_mut(&number)
            && known.gone.take().is_some()
        {
            self.going.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// One, if its epoch is committed.
    pub fn get(&self, number: u64) -> Option<DeadLetter> {
        let committed = self.committed.load(Ordering::Acquire);
        let known = self.known();
        known.get(&number).filter(|known| known.is_seen(committed)).map(|it| it.letter.clone())
    }

    /// The committed ones with a number above `after`, oldest first.
    pub fn list(&self, after: u64, limit: usize) -> Vec<DeadLetter> {
        let committed = self.committed.load(Ordering::Acquire);
        let known = self.known();
        let later = known.range(after.saturating_add(1)..).map(|(_, known)| known);
        let seen = later.filter(|known| known.is_seen(committed));
        seen.take(limit).map(|known| known.letter.clone()).collect()
    }

    /// How many are committed.
    pub fn len(&self) -> usize {
        let committed = self.committed.load(Ordering::Acquire);
        self.known().values().filter(|known| known.is_seen(committed)).count()
    }

    /// Whether none is committed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were added since the start, recovered ones too.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The largest number that was given, 0 if none was.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(number: u64, epoch: u64) -> DeadLetter {
        DeadLetter {
            number,
            kind: DeadLetterKind::Failed,
            model: Some("m".into()),
            twin: None,
            connection: "c".into(),
            partition: None,
            position: None,
            reason: "because".into(),
            attempts: 1,
            at: Timestamp(5),
            epoch,
            payload_bytes: 2,
        }
    }

    #[test]
    fn a_dead_letter_is_shown_only_when_its_epoch_is_committed() {
        let letters = DeadLetters::default();
        letters.add(letter(1, 4));
        letters.add(letter(2, 5));
        letters.commit(4);
        assert_eq!(letters.list(0, 10).len(), 1);
        assert_eq!(letters.get(2), None);
        letters.commit(5);
        assert_eq!(letters.list(1, 10), [letter(2, 5)]);
    }

    #[test]
    fn law_d5_a_dead_letter_is_seen_until_the_epoch_that_takes_it_is_committed() {
        let letters = DeadLetters::default();
        letters.add(letter(1, 4));
        letters.commit(4);
        assert!(letters.take(1, 6) && !letters.take(1, 6), "it goes once");
        letters.commit(5);
        assert_eq!(letters.len(), 1);
        letters.commit(6);
        assert_eq!((letters.get(1), letters.len(), letters.newest()), (None, 0, 1));
        assert!(!letters.take(1, 7), "there is none");
        letters.add(letter(2, 7));
        assert!(letters.take(2, 8));
        letters.put_back(2);
        letters.commit(9);
        assert_eq!(letters.list(0, 9), [letter(2, 7)]);
    }

    #[test]
    fn the_stored_form_comes_back() {
        let mut part = EpochPart::default();
        put_dead_letter(&mut part, &letter(7, 9), b"{}");
        let entry = crate::store::entries(part.bytes()).next().unwrap().unwrap();
        assert_eq!(read_dead_letter(entry.value), Some(letter(7, 9)));
        assert!(entry.value.ends_with(b"{}"));
    }
}
