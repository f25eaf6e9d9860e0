//! Logs that were written by earlier versions are still read: `tests/compat/log-1` is one of format
//! 1, with swept and recycled segments, every kind of entry, and a last write that was cut off.
//!
//! To make one of a new format: give `LOG` a new name, and run
//! `cargo test -p twinflow --lib golden -- --ignored`. What is there is never made anew.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use twinflow_operators::store::{EntryKind, EpochStore};

use super::super::Disk;
use super::super::simulated::{Random, SimDisk};
use super::driver::{Driver, Owned, wrong_payloads};
use super::world::{Fold, Worker, letter_of};

const LOG: &str = "log-1";
const SEGMENT: u64 = 12 << 10;

/// What the log holds, one line an entry, in the order in which it is replayed.
const CONTENTS: &str = "contents.txt";

fn place() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "compat", LOG].iter().collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn lines(entries: &[Owned]) -> String {
    let line = |(kind, key, value): &Owned| format!("{kind:?} {} {}\n", hex(key), hex(value));
    entries.iter().map(line).collect()
}

/// The log as it is kept, on a disk of its own.
fn golden() -> (SimDisk, String) {
    let disk = SimDisk::default();
    for file in fs::read_dir(place()).expect("tests/compat holds the golden logs") {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if name != CONTENTS {
            disk.put(&name, &fs::read(file.path()).unwrap());
        }
    }
    (disk, fs::read_to_string(place().join(CONTENTS)).unwrap())
}

fn open(disk: &SimDisk) -> Driver {
    Driver::open_as(Arc::new(disk.clone()), 77, SEGMENT, None).unwrap()
}

#[test]
fn law_d8_a_log_of_format_1_is_read_and_gone_on_with() {
    let (disk, expected) = golden();
    let mut driver = open(&disk);
    let seen = driver.replay().unwrap();
    assert_eq!(lines(&seen), expected);
    for kind in 1..=11 {
        let kind = EntryKind::from_number(kind).unwrap();
        assert!(seen.iter().any(|(seen, ..)| *seen == kind), "no {kind:?} in it");
    }
    let letters = || seen.iter().filter(|(kind, ..)| *kind == EntryKind::DeadLetter);
    let dropped = |key: &Vec<u8>| {
        seen.iter().any(|(kind, of, _)| *kind == EntryKind::DeadLetterDropped && of == key)
    };
    let kept: Vec<Owned> =
        letters().filter(|(_, key, _)| !dropped(key)).map(|(_, key, _)| letter_of(key)).collect();
    assert!(kept.len() > 2);
    assert_eq!(wrong_payloads(&driver.log, &kept), 0);

    let claimed = driver.log.claim(2).unwrap();
    assert_eq!(claimed.generation, 4);
    let more = (EntryKind::State, b"more".to_vec(), b"state".to_vec());
    driver.append(1, claimed.base + 1, std::slice::from_ref(&more));
    (0..2).for_each(|worker| driver.log.closed(worker, claimed.base + 2));
    assert!(driver.wait(claimed.base + 2));
    drop(driver);
    assert_eq!(open(&disk).replay().unwrap(), [&seen[..], &[more]].concat());
}

/// At least one entry of every kind, some of them at their end already.
fn every_kind(number: u64) -> Vec<Owned> {
    let key = |nth: u64| (number + nth).to_le_bytes().to_vec();
    let twin = format!("twin-{number}").into_bytes();
    let mut all: Vec<Owned> = (0..4).map(|nth| letter_of(&key(nth))).collect();
    all.push((EntryKind::DeadLetterDropped, key(1), vec![]));
    all.push((EntryKind::Feedback, key(5), b"asked".to_vec()));
    all.push((EntryKind::Feedback, key(6), b"answered".to_vec()));
    all.push((EntryKind::Delivered, key(6), vec![]));
    all.push((EntryKind::State, twin.clone(), b"state".to_vec()));
    all.push((EntryKind::Route, twin.clone(), vec![1, 0]));
    all.push((EntryKind::MessageId, [&twin[..], b"/id"].concat(), b"answer".to_vec()));
    all.push((EntryKind::State, b"gone".to_vec(), b"state".to_vec()));
    all.push((EntryKind::Removal, b"gone".to_vec(), vec![]));
    all.push((EntryKind::Position, b"partition".to_vec(), key(0)));
    all.push((EntryKind::Time, b"0".to_vec(), key(0)));
    all.push((EntryKind::Name, b"model".to_vec(), b"pumps".to_vec()));
    all
}

/// Three generations with sweeps; the last ends in the middle of a write.
fn write() -> SimDisk {
    let disk = SimDisk::default();
    let (mut random, mut next) = (Random(4), 0);
    for generation in 0..3 {
        let mut driver = open(&disk);
        let mut live = Fold::new();
        let seen = driver.replay().unwrap();
        seen.iter().for_each(|entry| super::world::fold(&mut live, entry));
        let claimed = driver.log.claim(1).unwrap();
        let mut worker = Worker::new(0, 1, &live);
        worker.pace = Some(8);
        for epoch in claimed.base + 1..claimed.base + 25 {
            let mut changes = worker.changes(1, &mut random, &mut next);
            let route = (EntryKind::Route, format!("twin-{}", epoch % 5).into_bytes(), vec![3, 0]);
            super::world::fold(&mut worker.live, &route);
            changes.push(route);
            if epoch == claimed.base + 18 {
                let all = every_kind(1000 * (generation + 9));
                all.iter().for_each(|entry| super::world::fold(&mut worker.live, entry));
                changes.extend(all);
            }
            driver.append(0, epoch, &changes);
            if let Some(order) = driver.log.sweep() {
                driver.log.append(0, epoch, worker.sweep(order, &mut random));
            }
            driver.log.closed(0, epoch + 1);
            if generation == 2 && epoch == claimed.base + 20 {
                disk.cut_after(0);
            }
            if !driver.wait(epoch + 1) {
                break;
            }
        }
        if generation < 2 {
            driver.log.seal().unwrap();
        }
    }
    disk
}

#[test]
#[ignore = "makes a golden log, once for each format"]
fn make() {
    assert!(!place().exists(), "a golden log is never made anew");
    fs::create_dir_all(place()).unwrap();
    let disk = write().power_cut(&mut Random(0));
    for name in disk.list().unwrap() {
        fs::write(place().join(&name), disk.bytes(&name)).unwrap();
    }
    fs::write(place().join(CONTENTS), lines(&open(&disk).replay().unwrap())).unwrap();
}
