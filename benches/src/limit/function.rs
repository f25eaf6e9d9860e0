//! A workload's function as the limit's loop calls it, and the fast hash of its table.
//!
//! Estimate: the hash is two multiplications, 2 ns, against 200 ns and more for parsing.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::Result;
use crate::check::Check;
use crate::draw::GOLD;
use crate::{w1, w2};

/// Builds the hasher of the limit's tables.
pub type FoldHash = BuildHasherDefault<FoldHasher>;

/// What is done with each record.
pub trait TwinFunction: Clone + Send {
    /// A twin's id as the table's key.
    type Key: Copy + Eq + Hash;
    /// A twin's state.
    type State: Default;
    /// A payload as the function takes it.
    type Message<'m>;

    /// The key for the id of a record.
    fn key(id: &[u8]) -> Self::Key;

    /// Reads a payload.
    fn parse(payload: &[u8]) -> Result<Self::Message<'_>>;

    /// Takes a message into a twin's state and counts the output, if there is one.
    fn apply(
        &mut self,
        state: &mut Self::State,
        id: &[u8],
        message: &Self::Message<'_>,
        check: &mut Check,
    );
}

/// The function of W1.
///
/// Its parser is `serde_json`: it was the fastest here (225-255 ns at 100 bytes and 560 ns at 500,
/// `sonic-rs` 282-354 and 810, `simd-json` with the copy it needs 260-460 and 740), with and
/// without flags for the very processor, and it is what the engine's users have.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    text: Vec<u8>,
}

impl TwinFunction for Counting {
    type Key = [u8; 12];
    type State = w1::State;
    type Message<'m> = w1::Reading<'m>;

    fn key(id: &[u8]) -> Self::Key {
        id.try_into().expect("an id of W1 has 12 bytes")
    }

    fn parse(payload: &[u8]) -> Result<w1::Reading<'_>> {
        Ok(serde_json::from_slice(payload)?)
    }

    fn apply(
        &mut self,
        state: &mut w1::State,
        id: &[u8],
        reading: &w1::Reading<'_>,
        check: &mut Check,
    ) {
        if let Some(alert) = state.apply(reading) {
            self.text.clear();
            alert.write(id, &mut self.text);
            check.add_bytes(&self.text);
        }
    }
}

/// The function of W2.
#[derive(Clone, Copy, Debug)]
pub struct Opaque;

impl TwinFunction for Opaque {
    type Key = u64;
    type State = w2::State;
    type Message<'m> = &'m [u8];

    fn key(id: &[u8]) -> u64 {
        u64::from_le_bytes(id.try_into().expect("an id of W2 has eight bytes"))
    }

    fn parse(payload: &[u8]) -> Result<&[u8]> {
        Ok(payload)
    }

    fn apply(&mut self, state: &mut w2::State, id: &[u8], payload: &&[u8], check: &mut Check) {
        if let Some(output) = state.apply(Self::key(id), payload) {
            check.add(output);
        }
    }
}

/// Folds eight bytes at a time by a wide multiplication, for keys that nobody chooses to collide.
#[derive(Clone, Copy, Debug, Default)]
pub struct FoldHasher {
    hash: u64,
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let wide = u128::from(self.hash ^ word ^ GOLD) * u128::from(GOLD);
        self.hash = (wide as u64) ^ ((wide >> 64) as u64);
    }

    /// A slice's length, the same for all keys of a table.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// The worker among `workers` that owns a key.
pub(super) fn owner(key: impl Hash, workers: usize) -> usize {
    let mut hasher = FoldHasher::default();
    key.hash(&mut hasher);
    // Bits that the table does not use, so that one worker's keys fill all of its table.
    let bits = usize::try_from((hasher.finish() >> 24) & 0xFFFF).expect("16 bits");
    (bits * workers) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_share_the_keys_evenly_and_not_by_parity() {
        let mut of_worker = [[0_u32; 2]; 2];
        for twin in 0..100_000_u32 {
            let id: [u8; 12] = format!("twin-{twin:07}").as_bytes().try_into().unwrap();
            of_worker[owner(id, 2)][(twin % 2) as usize] += 1;
        }
        let even = |count: &u32| (24_000..26_000).contains(count);
        assert!(of_worker.as_flattened().iter().all(even), "{of_worker:?}");
    }
}
