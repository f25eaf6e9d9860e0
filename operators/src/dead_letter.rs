//! Messages that could not be decoded or processed, kept with their reason (laws P1, S7, D12).

mod kept;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use twinflow_connectors::message::Timestamp;

use self::kept::Sums;
pub use self::kept::{KeepLimits, Kept};
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
    all: Mutex<All>,
    committed: AtomicU64,
    total: AtomicU64,
    /// How many go in an epoch that is not committed yet.
    going: AtomicU64,
    /// The largest number that was ever given, as far as is known.
    newest: AtomicU64,
}

#[derive(Debug, Default)]
struct All {
    known: BTreeMap<u64, Known>,
    /// Those that go: in which epoch, and their numbers.
    going: BTreeSet<(u64, u64)>,
    sums: Sums,
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
    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().expect("dead letters")
    }

    /// Adds one; it is shown when `epoch` is committed.
    pub fn add(&self, letter: DeadLetter) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.given(letter.number);
        let mut all = self.all();
        all.sums.add(&letter);
        all.known.insert(letter.number, Known { letter, gone: None });
    }

    /// This number and all below were given, whatever became of them.
    pub fn given(&self, number: u64) {
        self.newest.fetch_max(number, Ordering::AcqRel);
    }

    /// Everything up to this epoch is committed.
    pub fn commit(&self, epoch: u64) {
        self.committed.fetch_max(epoch, Ordering::AcqRel);
        if self.going.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = self.all();
        while let Some((gone, number)) = all.going.first().copied().filter(|it| it.0 <= epoch) {
            all.going.remove(&(gone, number));
            self.going.fetch_sub(1, Ordering::AcqRel);
            if let Some(known) = all.known.remove(&number) {
                all.sums.remove(&known.letter);
            }
        }
    }

    /// Those with a number above `after`, committed or not, also such as go in an epoch that is not
    /// committed yet: the store knows which it has dropped.
    pub(crate) fn behind(&self, after: u64, most: usize) -> Vec<DeadLetter> {
        let all = self.all();
        let later = all.known.range(after.saturating_add(1)..);
        later.take(most).map(|(_, known)| known.letter.clone()).collect()
    }

    /// Takes one that goes in this epoch; `false`: there is none, or it goes already.
    pub(crate) fn take(&self, number: u64, epoch: u64) -> bool {
        let mut all = self.all();
        let Some(known) = all.known.get_mut(&number).filter(|known| known.gone.is_none()) else {
            return false;
        };
        known.gone = Some(epoch);
        all.going.insert((epoch, number));
        self.going.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Leaves one that was taken where it is.
    pub(crate) fn put_back(&self, number: u64) {
        let mut all = self.all();
        if let Some(gone) = all.known.get_mut(&number).and_then(|known| known.gone.take()) {
            all.going.remove(&(gone, number));
            self.going.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// One, if its epoch is committed.
    pub fn get(&self, number: u64) -> Option<DeadLetter> {
        let committed = self.committed.load(Ordering::Acquire);
        let all = self.all();
        let known = all.known.get(&number).filter(|known| known.is_seen(committed));
        known.map(|it| it.letter.clone())
    }

    /// The committed ones with a number above `after`, oldest first.
    pub fn list(&self, after: u64, limit: usize) -> Vec<DeadLetter> {
        let committed = self.committed.load(Ordering::Acquire);
        let all = self.all();
        let later = all.known.range(after.saturating_add(1)..).map(|(_, known)| known);
        let seen = later.filter(|known| known.is_seen(committed));
        seen.take(limit).map(|known| known.letter.clone()).collect()
    }

    /// How many are committed.
    pub fn len(&self) -> usize {
        let committed = self.committed.load(Ordering::Acquire);
        self.all().known.values().filter(|known| known.is_seen(committed)).count()
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

    /// How much those of each model take, committed or not.
    pub fn kept(&self) -> Vec<Kept> {
        self.all().sums.all()
    }

    /// The oldest that nobody has to keep any more, at most `most`: those older than `limits` says,
    /// and feedback beyond the bytes that it says. What it knows nothing of is kept.
    pub fn due(
        &self,
        now: Timestamp,
        limits: impl Fn(Option<&str>) -> Option<KeepLimits>,
        most: usize,
    ) -> Vec<u64> {
        let committed = self.committed.load(Ordering::Acquire);
        let all = self.all();
        let seen = |number| all.known.get(&number).filter(|known| known.is_seen(committed));
        let seen =
            |number| seen(number).map(|known| (known.letter.kept_bytes(), known.gone.is_some()));
        all.sums.due(now, limits, seen, most)
    }
}
