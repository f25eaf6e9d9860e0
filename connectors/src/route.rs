//! Which worker owns a twin: a named hash, a fixed number of buckets, contiguous ranges.
//!
//! The hash is xxh3-64 of the twin id with seed 0. Buckets are on disk, so neither the hash nor the
//! number of buckets can ever change; the test vectors below hold them.

use xxhash_rust::xxh3::xxh3_64;

/// Number of buckets that twins are spread over, the same in every installation for ever.
pub const BUCKETS: u16 = 4096;

/// The bucket that holds what belongs to no twin: positions, outbox, dead letters (law D2).
pub const LEDGER_BUCKET: u16 = BUCKETS;

/// Hash of a twin id, carried beside its messages so that nothing hashes it again.
#[inline]
pub fn twin_hash(id: &[u8]) -> u64 {
    xxh3_64(id)
}

/// Hash of a message's body, kept beside its id to tell a repetition from another message.
pub fn body_hash(body: &[u8]) -> u64 {
    xxh3_64(body)
}

/// Bucket of a twin, 0 to 4,095: the low 12 bits of its hash.
#[inline]
pub fn bucket(hash: u64) -> u16 {
    (hash & u64::from(BUCKETS - 1)) as u16
}

/// Worker that owns a bucket: contiguous ranges of buckets, as even as they can be.
#[inline]
pub fn owner(bucket: u16, workers: usize) -> usize {
    bucket as usize * workers / BUCKETS as usize
}

/// Number of the slot, among those of its connection, by which feedback of a twin always leaves
/// (law S1).
pub fn feedback_slot(twin: &str, slots: usize) -> usize {
    usize::from(bucket(twin_hash(twin.as_bytes()))) % slots
}

/// Worker of a connection slot (law S1): `(xxh3(connection name) + number) mod workers`.
pub fn slot_worker(connection: &str, number: usize, workers: usize) -> usize {
    let start = xxh3_64(connection.as_bytes()) % workers as u64;
    (start as usize + number) % workers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_on_disk() {
        let vectors: [(&[u8], u64); 3] = [
            (b"", 0x2d06_8005_38d3_94c2),
            (b"twin-0000001", twin_hash(b"twin-0000001")),
            (b"a", 0xe6c6_32b6_1e96_4e1f),
        ];
        for (id, hash) in vectors {
            assert_eq!(twin_hash(id), hash, "hash of {id:?} moved: every state directory is lost");
        }
    }

    #[test]
    fn every_bucket_has_an_owner_and_owners_are_contiguous() {
        for workers in 1..=9 {
            let owners: Vec<_> = (0..BUCKETS).map(|bucket| owner(bucket, workers)).collect();
            assert!(owners.is_sorted());
            assert_eq!(owners[0], 0);
            assert_eq!(owners[BUCKETS as usize - 1], workers - 1);
        }
    }

    #[test]
    fn slots_of_a_connection_are_spread_over_the_workers() {
        let first = slot_worker("plant", 0, 4);
        let workers: Vec<_> = (0..4).map(|number| slot_worker("plant", number, 4)).collect();
        assert_eq!(workers, (0..4).map(|n| (first + n) % 4).collect::<Vec<_>>());
    }
}
