//! Flipped bits, cut files and missing files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use twinflow_operators::store::{EntryKind, EpochPart, EpochStore, StoreError};

use super::super::simulated::{Random, SimDisk};
use super::super::{LocalLog, LogOptions};
use super::driver::{Owned, claimed, contents, state};

/// A sealed log over several segments, and what it holds.
pub(super) fn sealed() -> (SimDisk, Vec<Owned>) {
    let disk = SimDisk::default();
    let mut all = vec![];
    for generation in 0..2 {
        let (mut driver, claim) = claimed(Arc::new(disk.clone()), 7 + generation, 1);
        for epoch in claim.base + 1..claim.base + 9 {
            let entries = [state(epoch, 1500), state(100 + epoch, 1700)];
            driver.append(0, epoch, &entries);
            driver.log.closed(0, epoch + 1);
            assert!(driver.wait(epoch + 1));
            all.extend(entries);
        }
        driver.log.seal().unwrap();
    }
    assert!(disk.segments().len() >= 4, "{:?}", disk.segments());
    (disk, all)
}

#[test]
fn law_d7_every_flipped_bit_is_refused_or_harmless() {
    let (disk, all) = sealed();
    let mut random = Random(3);
    let (mut refused, mut harmless) = (0, 0);
    for name in disk.segments() {
        let bytes = disk.bytes(&name);
        let heads = (0..64 * 8).chain(4096 * 8..(4096 + 64) * 8);
        let anywhere = (0..600).map(|_| random.below(bytes.len() as u64 * 8) as usize);
        for bit in heads.chain(anywhere.collect::<Vec<_>>()) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let copy = disk.copy();
            copy.put(&name, &flipped);
            match contents(Arc::new(copy)) {
                Ok(seen) => assert!(seen == all, "{name}, bit {bit}: other contents"),
                // Of the last group of a segment only the next segment knows.
                Err(StoreError::Corrupt { .. }) => refused += 1,
                Err(error) => panic!("{name}, bit {bit}: {error}"),
            }
            harmless += 1;
        }
    }
    harmless -= refused;
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 2 * harmless, "{refused} refused, {harmless} harmless");
}

#[test]
fn law_d7_damage_names_segment_offset_and_epoch() {
    let (disk, _) = sealed();
    let name = disk.segments()[1].clone();
    let mut bytes = disk.bytes(&name);
    bytes[4096 + 100] ^= 1;
    disk.put(&name, &bytes);
    let error = contents(Arc::new(disk)).unwrap_err();
    let StoreError::Corrupt { at, what, last_good_epoch } = error else { panic!("{error:?}") };
    assert_eq!(at, format!("\"{name}\" at 4096"));
    assert!(what.contains("is not what was written"), "{what}");
    assert!(last_good_epoch > 0);
}

#[test]
fn law_d7_two_damaged_groups_in_a_row_are_refused_too() {
    let (disk, _) = sealed();
    let name = disk.segments().pop().unwrap();
    let mut bytes = disk.bytes(&name);
    let groups = bytes.len() / 4096;
    for block in 1..groups - 1 {
        bytes[block * 4096 + 20] ^= 1;
    }
    disk.put(&name, &bytes);
    assert!(matches!(contents(Arc::new(disk)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_missing_segment_is_refused() {
    let (disk, _) = sealed();
    let names = disk.segments();
    for name in &names {
        let copy = disk.copy();
        copy.delete(name);
        let refused = contents(Arc::new(copy)).unwrap_err().to_string();
        let newest = Some(name) == names.last();
        let says = if newest { "its newest segment is missing" } else { "the segment is missing" };
        assert!(refused.contains(says), "{refused}");
        assert!(newest || refused.contains(&format!("{name}\" at 0: ")), "{refused}");
    }
}

#[test]
fn a_log_without_any_segment_or_with_a_shorter_newest_one_is_refused() {
    let (disk, _) = sealed();
    let none = disk.copy();
    none.segments().iter().for_each(|name| none.delete(name));
    let refused = contents(Arc::new(none)).unwrap_err().to_string();
    assert!(refused.contains("the log ends with frame 0, and frame"), "{refused}");
    let newest = disk.segments().pop().unwrap();
    let bytes = disk.bytes(&newest);
    for length in (4096..bytes.len() - 4096).step_by(512) {
        let copy = disk.copy();
        copy.put(&newest, &bytes[..length]);
        let refused = contents(Arc::new(copy));
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "cut at {length}");
    }
}

#[test]
fn law_d7_an_idle_log_that_is_cut_off_behind_its_first_group_is_refused() {
    let now = Arc::new(AtomicU64::new(1));
    let clock = Arc::clone(&now);
    let mut options = LogOptions::new(7, Arc::new(|error| panic!("{error}")));
    options.clock = Arc::new(move || clock.load(Ordering::Relaxed));
    options.seal_after = Duration::ZERO;
    let disk = SimDisk::default();
    let log = LocalLog::open_on(Arc::new(disk.clone()), options).unwrap();
    log.claim(1).unwrap();
    now.store(3_000_000, Ordering::Relaxed);
    for epoch in 1..=3 {
        let mut part = EpochPart::default();
        part.put(EntryKind::State, 1, 1, b"twin", b"state");
        log.append(0, epoch, part);
        log.closed(0, epoch + 1);
        while log.durable(0) <= epoch {
            std::thread::yield_now();
        }
    }
    // The marker is written when everything before it is.
    let proven = || String::from_utf8(disk.bytes("twinflow-state")).unwrap();
    let is_proven = || (2..9).any(|frame| proven().contains(&format!("proven {frame}\n")));
    assert!((0..5000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        is_proven()
    }));
    drop(log);
    let name = disk.segments().pop().unwrap();
    let bytes = disk.bytes(&name);
    contents(Arc::new(disk.copy())).unwrap();
    disk.put(&name, &bytes[..2 * 4096]);
    let refused = contents(Arc::new(disk)).unwrap_err().to_string();
    assert!(refused.contains("the log ends with frame 1, and frame"), "{refused}");
}

#[test]
fn a_segment_without_frames_proves_the_frames_before_it() {
    let (disk, _) = sealed();
    super::super::marker::forget(&disk);
    let names = disk.segments();
    let [.., before, last] = &names[..] else { panic!("{names:?}") };
    disk.put(last, &disk.bytes(last)[..4096]);
    contents(Arc::new(disk.copy())).unwrap();
    let bytes = disk.bytes(before);
    disk.put(before, &bytes[..bytes.len() - 4096]);
    let refused = contents(Arc::new(disk)).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
}

#[test]
fn a_middle_segment_that_lost_its_end_is_refused() {
    let (disk, _) = sealed();
    let name = disk.segments()[1].clone();
    let bytes = disk.bytes(&name);
    for length in (0..bytes.len()).step_by(512) {
        let copy = disk.copy();
        copy.put(&name, &bytes[..length]);
        match contents(Arc::new(copy)) {
            Err(StoreError::Corrupt { .. }) => {}
            // Only the padding of its last group is gone.
            Ok(_) if length + 4096 > bytes.len() => {}
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn law_d7_a_last_group_cut_at_any_byte_keeps_what_is_whole_and_goes_on() {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 7, 1);
    let epochs: Vec<Owned> = (1..=4).map(|epoch| state(epoch, 700)).collect();
    for (epoch, entry) in (1..).zip(&epochs) {
        driver.append(0, epoch, std::slice::from_ref(entry));
        if epoch == 1 {
            driver.log.closed(0, 2);
            assert!(driver.wait(2));
        }
    }
    driver.log.closed(0, 5);
    assert!(driver.wait(5));
    drop(driver);
    let name = disk.segments().pop().unwrap();
    let bytes = disk.bytes(&name);
    let mut least = epochs.len();
    for length in (3 * 4096..=bytes.len()).rev() {
        let copy = disk.copy();
        copy.put(&name, &bytes[..length]);
        let seen = contents(Arc::new(copy.clone())).unwrap();
        assert_eq!(seen, epochs[..seen.len()]);
        assert!(seen.len() <= least && !seen.is_empty());
        least = seen.len();
        if length % 61 == 0 {
            let (mut driver, claim) = claimed(Arc::new(copy.clone()), 8, 1);
            let next = claim.base + 1;
            driver.append(0, next, &[state(99, 10)]);
            driver.log.closed(0, next + 1);
            assert!(driver.wait(next + 1));
            drop(driver);
            let again = contents(Arc::new(copy)).unwrap();
            assert_eq!(again, [&seen[..], &[state(99, 10)]].concat(), "cut at {length}");
        }
    }
    assert_eq!(least, 1, "the group before is never touched");
}
