//! Bytes that nobody wrote, given to every parser of the log: each ends in a value or an error
//! (F18). The seeds of the mutator are real files.

use std::sync::Arc;

use twinflow_operators::recover::Recovered;
use twinflow_operators::store::{EpochPart, Piece, StoreError, entries};

use super::super::format::{SegmentHeader, read_frame};
use super::super::history::{History, read_segment};
use super::super::simulated::{Random, SimDisk};
use super::driver::Driver;
use super::sweeping::swept;

const INPUTS: u64 = 10_000;

/// A few changes: bits, numbers that are large, pieces copied, cut out and repeated.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let length = bytes.len() as u64;
        if length < 16 {
            return bytes.extend_from_slice(&random.below(u64::MAX).to_le_bytes());
        }
        let (at, other) = (random.below(length) as usize, random.below(length - 8) as usize);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[other..other + 4].fill(0xff),
            2 => bytes[other..other + 8].copy_from_slice(&random.below(length).to_le_bytes()),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(other..other + 1 + random.below(8) as usize)),
            _ => bytes.copy_within(other..other + 8, at.min(length as usize - 8)),
        }
    }
}

/// One segment of a swept log.
fn segment(disk: &SimDisk, random: &mut Random) -> (String, Vec<u8>) {
    let names = disk.segments();
    let name = names[random.below(names.len() as u64) as usize].clone();
    let bytes = disk.bytes(&name);
    (name, bytes)
}

#[test]
fn f18_headers_frames_and_entries_end_in_a_value_or_none() {
    let (disk, mut random, mut entries_read) = (swept(), Random(18), 0);
    let names = disk.segments();
    let segments: Vec<_> = names.iter().map(|name| disk.bytes(name)[..16 << 10].to_vec()).collect();
    for nth in 0..INPUTS {
        let whole = &segments[nth as usize % segments.len()];
        let header = SegmentHeader::decode(whole).unwrap();
        // The check would stop almost everything: the bodies behind it are mutated too.
        let body = read_frame(whole, header.seed, 4096).map_or(&whole[..200], |(_, body)| body);
        let mut body = body.to_vec();
        mutate(&mut random, &mut body);
        entries_read += entries(&body).filter(Option::is_some).count();
        let mut part = EpochPart::default();
        for it in entries(&body).flatten().filter(|it| it.bucket <= 4096) {
            part.put(it.kind, it.bucket, it.space, it.key, it.value);
        }
        let piece = Piece::of_part(part, 2);
        let read = Recovered::read(2, Arc::default(), |_, each| {
            each(&piece);
            Ok::<_, StoreError>(())
        });
        let _damage = read.unwrap().damage().is_some();
        let mut bytes = whole.clone();
        mutate(&mut random, &mut bytes);
        let _header = SegmentHeader::decode(&bytes).is_ok();
        let mut history = header.before;
        let _ending = read_segment(&header, &bytes, &mut history, |_, _| Ok(()));
        assert!(history.sequence >= header.before.sequence);
        assert_ne!(history, History::default());
    }
    assert!(entries_read > INPUTS as usize / 4, "{entries_read} entries were whole");
}

#[test]
fn f18_a_directory_of_mutated_files_is_read_or_refused() {
    let (disk, mut random, mut refused) = (swept(), Random(19), 0);
    for nth in 0..INPUTS / 20 {
        let copy = disk.copy();
        let (name, mut bytes) = match nth % 10 {
            0 => ("twinflow-state".to_owned(), disk.bytes("twinflow-state")),
            _ => segment(&disk, &mut random),
        };
        mutate(&mut random, &mut bytes);
        copy.put(&name, &bytes);
        let read = Driver::open_as(Arc::new(copy), 4, 64 << 10, None);
        match read.and_then(|driver| driver.replay()) {
            Err(StoreError::Corrupt { .. } | StoreError::Refused { .. }) => refused += 1,
            Err(error) => panic!("{name}: {error}"),
            Ok(_) => {}
        }
    }
    assert!(refused > INPUTS / 100, "{refused} of {} were refused", INPUTS / 20);
}
