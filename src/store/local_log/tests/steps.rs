//! What is written, in which order, and what happens when it fails.

use std::sync::Arc;

use twinflow_operators::store::{EntryKind, EpochStore, StoreError};

use super::super::format::{BLOCK, FRAME_HEAD, SegmentHeader, read_frame};
use super::super::simulated::SimDisk;
use super::driver::{Driver, claimed, contents, letter, state, wrong_payloads};

#[test]
fn what_was_appended_is_replayed_in_order_over_opens_and_segments() {
    let disk = SimDisk::default();
    let mut all = vec![];
    for generation in 1..=5 {
        let driver = Driver::open(Arc::new(disk.clone()), generation).unwrap();
        assert_eq!(driver.replay().unwrap(), all);
        drop(driver);
        let (mut driver, claim) = claimed(Arc::new(disk.clone()), generation, 1);
        // Each start takes one, also one that only reads.
        assert_eq!(claim.generation, 2 * generation);
        for epoch in claim.base + 1..claim.base + 11 {
            let entry = state(epoch, 900);
            driver.append(0, epoch, std::slice::from_ref(&entry));
            driver.log.closed(0, epoch + 1);
            assert!(driver.wait(epoch + 1));
            all.push(entry);
        }
        if generation % 2 == 0 {
            driver.log.seal().unwrap();
        }
    }
    assert!(disk.segments().len() > 5);
}

#[test]
fn law_d7_groups_start_at_blocks_and_are_synced_before_the_next() {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 1);
    for epoch in 1..40 {
        driver.append(0, epoch, &[state(epoch, (epoch * 37 % 3000) as usize)]);
        driver.log.closed(0, epoch + 1);
        assert!(driver.wait(epoch + 1));
    }
    driver.log.seal().unwrap();
    let (mut last, mut unsynced) = (("", 0), None);
    let log = disk.take_log();
    let of_segment = |step: &&String| step.contains(" segment-");
    assert!(log.iter().filter(of_segment).count() > 80);
    for step in log.iter().filter(of_segment) {
        match *step.split(' ').collect::<Vec<_>>() {
            ["write", name, at] => {
                let at: u64 = at.parse().unwrap();
                assert_eq!(at % 4096, 0, "{step}");
                assert!(last.0 != name || at > last.1, "{step} after {last:?}");
                assert_eq!(unsynced, None, "{step} before a sync");
                (last, unsynced) = ((name, at), Some(name));
            }
            ["sync", name] => assert_eq!(unsynced.take(), Some(name)),
            _ => panic!("{step}"),
        }
    }
    assert_eq!(unsynced, None);
}

#[test]
fn parts_of_two_workers_are_one_frame_and_durable_waits_for_both() {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 2);
    let before = driver.log.statistics();
    driver.append(1, 1, &[state(11, 10)]);
    driver.append(0, 1, &[state(10, 10)]);
    driver.append(0, 2, &[state(20, 10)]);
    driver.log.closed(0, 3);
    assert_eq!(driver.log.durable(0), 1);
    driver.log.closed(1, 2);
    assert!(driver.wait(2));
    assert_eq!(driver.log.durable(1), 2, "never past the smallest");
    let after = driver.log.statistics();
    assert_eq!((after.frames - before.frames, after.syncs - before.syncs), (1, 1));
    drop(driver);
    assert_eq!(contents(Arc::new(disk)).unwrap(), [state(10, 10), state(11, 10)]);
}

#[test]
fn epochs_that_gathered_share_one_sync() {
    let (mut driver, _) = claimed(Arc::new(SimDisk::default()), 1, 1);
    let before = driver.log.statistics();
    for epoch in 1..=5 {
        driver.append(0, epoch, &[state(epoch, 10)]);
    }
    driver.log.closed(0, 6);
    assert!(driver.wait(6));
    let after = driver.log.statistics();
    assert_eq!((after.frames - before.frames, after.syncs - before.syncs), (5, 1));
}

#[test]
fn law_d7_no_frame_proves_another_of_its_group() {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 1);
    for epoch in 1..=3 {
        driver.append(0, epoch, &[state(epoch, 10)]);
    }
    driver.log.closed(0, 4);
    assert!(driver.wait(4));
    let segment = disk.bytes(&disk.segments()[0]);
    let seed = SegmentHeader::decode(&segment).unwrap().seed;
    let mut at = 2 * BLOCK;
    for sequence in 2..=4 {
        let (head, body) = read_frame(&segment, seed, at).unwrap();
        assert_eq!((head.sequence, head.proven_until), (sequence, 1));
        assert_eq!(head.last_in_group, sequence == 4);
        at += (FRAME_HEAD + body.len()) as u64;
    }
}

#[test]
fn an_empty_epoch_is_durable_at_once_on_the_thread_that_closed_it() {
    let (driver, _) = claimed(Arc::new(SimDisk::default()), 1, 1);
    let before = driver.log.statistics();
    driver.append(0, 1, &[]);
    driver.log.closed(0, 8);
    assert_eq!(driver.log.durable(0), 8);
    assert_eq!(driver.log.statistics(), before);
}

#[test]
fn law_d11_nothing_is_durable_after_a_failed_sync() {
    for nth in 0..12 {
        let disk = SimDisk::default();
        let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 1);
        disk.fail_sync_after(nth);
        let mut epoch = 1;
        while driver.failures.is_empty() {
            driver.append(0, epoch, &[state(epoch, 3000)]);
            driver.log.closed(0, epoch + 1);
            driver.wait(epoch + 1);
            epoch += 1;
        }
        let durable = driver.log.durable(0);
        for later in epoch..epoch + 5 {
            driver.append(0, later, &[state(later, 10)]);
            driver.log.closed(0, later + 1);
        }
        driver.log.closed(0, epoch + 100);
        assert!(driver.log.seal().is_err());
        assert_eq!(driver.log.durable(0), durable);
        assert_eq!(driver.into_failures().len(), 1, "sync {nth}");
    }
}

#[test]
fn law_d12_payloads_are_synced_before_the_frame_and_read_back() {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 1);
    disk.take_log();
    let letters = [letter(5, b"first"), state(1, 20), letter(6, &[9; 5000]), letter(7, b"")];
    driver.append(0, 1, &letters);
    driver.log.closed(0, 2);
    assert!(driver.wait(2));
    let steps = disk.take_log();
    let kinds: Vec<_> =
        steps.iter().map(|step| step.rsplit_once('.').unwrap_or(("", step))).collect();
    assert_eq!(steps[1], "sync dead-letters-0001.dat", "{steps:?}");
    assert_eq!(kinds[2].1, "sync names");
    assert!(steps[3].starts_with("write segment"), "{steps:?}");
    assert_eq!(wrong_payloads(&driver.log, &letters), 0);
    driver.append(0, 2, &[(EntryKind::DeadLetterDropped, 5u64.to_le_bytes().to_vec(), vec![])]);
    driver.log.closed(0, 3);
    assert!(driver.wait(3));
    assert_eq!(driver.log.dead_letter_payload(5).unwrap(), None);
    drop(driver);

    let driver = Driver::open(Arc::new(disk.clone()), 2).unwrap();
    let seen = driver.replay().unwrap();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[2].2, b"\x03\0\0\0why", "a description and an empty payload");
    assert_eq!(driver.log.dead_letter_payload(5).unwrap(), None);
    assert_eq!(wrong_payloads(&driver.log, &letters[1..]), 0);
    let mut bytes = disk.bytes("dead-letters-0001.dat");
    bytes[100] ^= 1;
    disk.put("dead-letters-0001.dat", &bytes);
    let damaged = driver.log.dead_letter_payload(6);
    assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damaged:?}");
}

#[test]
fn epochs_that_closed_empty_are_not_given_again_after_a_clean_stop() {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 1);
    driver.append(0, 1, &[state(1, 10)]);
    driver.log.closed(0, 42);
    assert!(driver.wait(42));
    driver.log.seal().unwrap();
    drop(driver);
    let (_driver, claim) = claimed(Arc::new(disk), 2, 1);
    assert_eq!((claim.generation, claim.base), (2, 41));
}
