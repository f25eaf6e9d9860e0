//! What a worker is doing, for a watcher on another thread (law F4).
//!
//! One writer, relaxed stores to its own cache lines, nothing per message: a step of the worker is
//! one store (1 ns), a twin that is worked off three and one per eight bytes of its id (5 ns).

use std::sync::atomic::{AtomicU64, Ordering};

/// Words of an id: the longest has 256 bytes.
const ID_WORDS: usize = 32;
/// Bit of `twin` that tells a twin with an empty id from none.
const IN_CALL: u64 = 1 << 63;

/// What one worker is doing.
#[derive(Debug)]
#[repr(align(64))]
pub struct Activity {
    /// Grows with each step and each twin.
    beat: AtomicU64,
    /// [`IN_CALL`], the model's number and the length of the id; 0 between two twins.
    twin: AtomicU64,
    /// The last eight bytes of the id.
    tail: AtomicU64,
    /// Its whole words.
    id: [AtomicU64; ID_WORDS],
}

impl Default for Activity {
    fn default() -> Self {
        let id = std::array::from_fn(|_| AtomicU64::new(0));
        let [beat, twin, tail] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { beat, twin, tail, id }
    }
}

/// What a watcher saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// A worker that does not get on has the same beat as before; 0: it has not begun.
    pub beat: u64,
    /// Number of the model and id of the twin that is worked off. It is the right one only if the
    /// beat is still the same afterwards.
    pub twin: Option<(u16, String)>,
}

impl Activity {
    /// A step is over.
    #[inline]
    pub(crate) fn beat(&self) {
        // This worker is the only one that writes.
        self.beat.store(self.beat.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The user's code for a twin may run from now on.
    #[inline]
    pub(crate) fn enter(&self, model: u16, id: &str) {
        self.beat();
        let bytes = id.as_bytes();
        for (word, place) in bytes.as_chunks::<8>().0.iter().zip(&self.id) {
            place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        // The last eight bytes once more, whatever of them is in a whole word already.
        let tail = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => bytes.iter().fold(0, |tail, byte| (tail >> 8) | (u64::from(*byte) << 56)),
        };
        self.tail.store(tail, Ordering::Relaxed);
        let twin = IN_CALL | (u64::from(model) << 32) | id.len() as u64;
        self.twin.store(twin, Ordering::Relaxed);
    }

    /// No twin is worked off.
    #[inline]
    pub(crate) fn leave(&self) {
        self.beat();
        self.twin.store(0, Ordering::Relaxed);
    }

    /// What the worker is doing.
    pub fn look(&self) -> Seen {
        let beat = self.beat.load(Ordering::Relaxed);
        let twin = self.twin.load(Ordering::Relaxed);
        let named = (twin & IN_CALL != 0).then(|| {
            let length = (twin & 0xffff_ffff) as usize;
            let words = self.id.iter().take(length / 8);
            let words = words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
            let tail = self.tail.load(Ordering::Relaxed).to_le_bytes();
            let bytes: Vec<u8> = words.chain(tail.into_iter().skip(8 - length % 8)).collect();
            ((twin >> 32) as u16, String::from_utf8_lossy(&bytes).into_owned())
        });
        Seen { beat, twin: named }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_off_is_seen_whatever_its_id() {
        let activity = Activity::default();
        assert_eq!(activity.look(), Seen { beat: 0, twin: None });
        let long = "x".repeat(256);
        for (nth, id) in ["", "a", "eight888", "nine99999", &long, "b"].into_iter().enumerate() {
            activity.enter(7, id);
            assert_eq!(activity.look().twin, Some((7, id.to_owned())));
            activity.leave();
            assert_eq!(activity.look(), Seen { beat: 2 * nth as u64 + 2, twin: None });
        }
    }
}
