//! On the real disk: modes, the lock, directories that are not ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use twinflow_operators::store::{EntryKind, EpochPart, EpochStore, StoreError};

use super::super::{Disk, LocalLog, LogOptions, disk::Directory};
use super::driver::{claimed, contents, letter, state};

fn options() -> LogOptions {
    LogOptions::new(42, Arc::new(|error| panic!("{error}")))
}

fn refusal(directory: &Path) -> String {
    match LocalLog::open(directory, options()) {
        Err(StoreError::Refused { why }) => why,
        other => panic!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn s29_a_log_is_written_and_read_back_and_only_its_user_sees_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("deep/state");
    let (mut driver, _) = claimed(Arc::new(Directory::new(&path)), 1, 1);
    for epoch in 1..20 {
        driver.append(0, epoch, &[state(epoch, 2000), letter(epoch, b"payload")]);
        driver.log.closed(0, epoch + 1);
        assert!(driver.wait(epoch + 1));
    }
    driver.log.seal().unwrap();
    let again = driver.replay().unwrap();
    drop(driver);
    let seen = contents(Arc::new(Directory::new(&path))).unwrap();
    assert_eq!((seen.len(), &seen), (38, &again));
    assert_eq!((mode(&path), mode(&root.path().join("deep"))), (0o700, 0o700));
    let files: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_directory_in_use_is_refused_with_the_process_that_has_it() {
    let root = tempfile::tempdir().unwrap();
    let first = LocalLog::open(root.path(), options()).unwrap();
    let why = refusal(root.path());
    assert!(why.contains(&format!("(process {})", std::process::id())), "{why}");
    drop(first);
    LocalLog::open(root.path(), options()).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_and_left_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.txt"), "years of work").unwrap();
    let why = refusal(root.path());
    assert!(why.contains("it holds \"thesis.txt\""), "{why}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "").unwrap();
    assert!(refusal(&path).contains("is not a directory"), "{}", refusal(&path));
    assert!(refusal(&path.join("below")).contains("is not a directory"));
}

#[test]
fn a_newer_version_is_refused_with_the_remedy() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("twinflow-state"), "twinflow state 2\nsomething new\n").unwrap();
    let why = refusal(root.path());
    assert!(why.contains("has format 2") && why.contains("use the newer twinflow"), "{why}");
}

#[test]
fn a_segment_length_out_of_bounds_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 1, ..options() };
    let refused = LocalLog::open(root.path(), options).unwrap_err().to_string();
    assert!(refused.contains("segment_bytes is 1"), "{refused}");
}

#[test]
fn spares_are_ready_before_a_segment_is_full() {
    let root = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 1 << 20, ..options() };
    let log = LocalLog::open(root.path(), options).unwrap();
    log.claim(1).unwrap();
    let (ring, rung) = std::sync::mpsc::sync_channel(100);
    log.attach(0, Box::new(move || ring.try_send(()).unwrap()));
    let mut part = EpochPart::default();
    part.put(EntryKind::State, 1, 1, b"twin", &vec![7; 600 << 10]);
    log.append(0, 1, part.clone());
    log.closed(0, 2);
    rung.recv_timeout(Duration::from_secs(10)).unwrap();
    let spares = || {
        let files = fs::read_dir(root.path()).unwrap().map(|file| file.unwrap());
        let name = |file: &fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        let is_spare = |name: String| name.starts_with("spare-") && !name.ends_with(".new");
        let spares = files.filter(|it| is_spare(name(it)));
        spares.map(|it| it.metadata().unwrap().len()).collect::<Vec<_>>()
    };
    while spares().len() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(spares(), [1 << 20, 1 << 20]);
    log.append(0, 2, part);
    log.closed(0, 3);
    rung.recv_timeout(Duration::from_secs(10)).unwrap();
    let second = fs::metadata(root.path().join("segment-0000000002.log")).unwrap();
    assert_eq!(second.len(), 1 << 20, "made of a spare");
    assert!(log.statistics().disk_bytes > 2 << 20);
}

#[test]
fn law_d10_a_real_disk_says_how_much_room_it_has() {
    let root = tempfile::tempdir().unwrap();
    let free = Directory::new(root.path()).free().unwrap();
    assert!(0 < free.free && free.free <= free.total, "{free:?}");
}

#[test]
fn law_d7_an_idle_log_seals_itself() {
    let root = tempfile::tempdir().unwrap();
    let options = LogOptions { seal_after: Duration::ZERO, ..options() };
    let log = LocalLog::open(root.path(), options).unwrap();
    log.claim(1).unwrap();
    while log.statistics().frames < 2 {
        std::thread::yield_now();
    }
    log.seal().unwrap();
    assert_eq!(log.statistics().frames, 2, "a sealed log needs no second seal");
}
