//! How much the dead letters of each model take, and which are to go by themselves (law D12).

use std::collections::{BTreeMap, BTreeSet};

use twinflow_connectors::message::Timestamp;

use super::{DeadLetter, DeadLetterKind};

/// Bytes that a dead letter takes beside its payload and its words.
const OVERHEAD: u64 = 256;

/// What may be kept of the dead letters of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// Bytes of all of them.
    pub bytes_max: u64,
    /// Seconds that one is kept.
    pub keep_secs: u64,
}

/// The dead letters of one model together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The model; `None`: what is about no model.
    pub model: Option<String>,
    /// Whether it is feedback that nobody took, which stops no intake (law D6).
    pub feedback: bool,
    /// Bytes of all of them.
    pub bytes: u64,
    /// The connections that brought them.
    pub connections: Vec<String>,
}

/// Model, and whether it is feedback.
type Key = (Option<String>, bool);

/// Sums over all dead letters.
#[derive(Debug, Default)]
pub(super) struct Sums(BTreeMap<Key, Sum>);

#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    /// By age.
    letters: BTreeSet<(Timestamp, u64)>,
    connections: BTreeMap<String, u64>,
}

impl DeadLetter {
    /// Bytes that it takes, about: the payload, the words, and a little for the rest.
    pub fn kept_bytes(&self) -> u64 {
        let words = [&self.model, &self.twin].map(|it| it.as_ref().map_or(0, String::len));
        let topic = self.partition.as_ref().map_or(0, |(topic, _)| topic.len());
        let words = words.iter().sum::<usize>() + topic + self.connection.len();
        OVERHEAD + self.payload_bytes + (words + self.reason.len()) as u64
    }

    fn key(&self) -> Key {
        (self.model.clone(), self.kind == DeadLetterKind::Feedback)
    }
}

impl Sums {
    pub(super) fn add(&mut self, letter: &DeadLetter) {
        let sum = self.0.entry(letter.key()).or_default();
        sum.bytes += letter.kept_bytes();
        sum.letters.insert((letter.at, letter.number));
        *sum.connections.entry(letter.connection.clone()).or_default() += 1;
    }

    pub(super) fn remove(&mut self, letter: &DeadLetter) {
        let key = letter.key();
        let Some(sum) = self.0.get_mut(&key) else { return };
        sum.bytes = sum.bytes.saturating_sub(letter.kept_bytes());
        sum.letters.remove(&(letter.at, letter.number));
        if let Some(count) = sum.connections.get_mut(&letter.connection) {
            *count -= 1;
        }
        sum.connections.retain(|_, count| *count > 0);
        if sum.letters.is_empty() {
            self.0.remove(&key);
        }
    }

    pub(super) fn all(&self) -> Vec<Kept> {
        let kept = |((model, feedback), sum): (&Key, &Sum)| Kept {
            model: model.clone(),
            feedback: *feedback,
            bytes: sum.bytes,
            connections: sum.connections.keys().cloned().collect(),
        };
        self.0.iter().map(kept).collect()
    }

    /// The oldest that are to go: what is older than its model keeps it, and the oldest feedback
    /// beyond the bound. `seen` says of those that people see what they take, and whether they go
    /// already.
    pub(super) fn due(
        &self,
        now: Timestamp,
        limits: impl Fn(Option<&str>) -> Option<KeepLimits>,
        seen: impl Fn(u64) -> Option<(u64, bool)>,
        most: usize,
    ) -> Vec<u64> {
        let mut due = Vec::new();
        for ((model, feedback), sum) in &self.0 {
            let Some(limits) = limits(model.as_deref()) else { continue };
            let mut over = if *feedback { sum.bytes.saturating_sub(limits.bytes_max) } else { 0 };
            for (at, number) in &sum.letters {
                let old = at.plus_secs(limits.keep_secs) <= now;
                if due.len() == most || !(old || over > 0) {
                    break;
                }
                let Some((bytes, goes)) = seen(*number) else { continue };
                over = over.saturating_sub(bytes);
                due.extend((!goes).then_some(*number));
            }
        }
        due
    }
}
