//! State directories that are damaged, foreign, old, new or not to be written, through the real
//! program: each is refused by name with its exit code, and none starts with less than it had.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::program::{FILE, Server, directory, run};

/// A directory whose state has several segments and a dead letter, and was stopped cleanly.
fn stopped() -> TempDir {
    let file = FILE.replace("wind-turbine", "shadow");
    let more = "[models.others]\ntype = \"wind-turbine\"\n\n[state]\nsegment_bytes = 1048576\n";
    let dir = directory(&format!("{file}\n{more}"));
    let server = Server::start(dir.path());
    let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(120_000));
    for nth in 0..20 {
        let arguments = ["send", "turbines", &format!("t-{nth}"), &long, "--server", &server.url()];
        let sent = run(dir.path(), &arguments);
        assert_eq!(sent.code, Some(0), "{}", sent.err);
    }
    let wrong = ["send", "others", "t-0", "\"no object\"", "--server", &server.url()];
    assert_ne!(run(dir.path(), &wrong).code, Some(0));
    assert_eq!(server.stop().0, Some(0));
    assert!(files(dir.path(), "segment-").len() > 1);
    dir
}

/// Files of the state whose names begin so, in order.
fn files(dir: &Path, start: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir.join("state")).unwrap().map(|file| file.unwrap().path());
    let is = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(start);
    let mut found: Vec<_> = all.filter(is).collect();
    found.sort();
    found
}

#[track_caller]
fn refused(dir: &Path, code: i32, says: &str) {
    let ended = run(dir, &["run", "--log-format", "text", "--no-supervise"]);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.err.contains(says), "{}", ended.err);
    assert!(!ended.err.contains("ready"), "{}", ended.err);
}

/// The same file with something done to its bytes; it is as before afterwards.
fn with(path: &Path, change: impl FnOnce(&mut Vec<u8>), then: impl FnOnce()) {
    let before = fs::read(path).unwrap();
    let mut bytes = before.clone();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    then();
    fs::write(path, before).unwrap();
}

#[test]
fn law_d7_a_state_that_is_cut_flipped_or_missing_in_part_is_74_and_named() {
    let dir = stopped();
    let path = dir.path();
    let marker = path.join("state/twinflow-state");
    let segments = files(path, "segment-");
    let damaged = "the log is damaged at ";
    for segment in &segments {
        let name = segment.file_name().unwrap().to_string_lossy().into_owned();
        let at = format!("{damaged}\"{name}\"");
        with(segment, |bytes| bytes.truncate(4096), || refused(path, 74, damaged));
        with(segment, |bytes| bytes.truncate(70), || refused(path, 74, &at));
        with(segment, Vec::clear, || refused(path, 74, &at));
        with(segment, |bytes| bytes[40] ^= 1, || refused(path, 74, &at));
        with(segment, |bytes| bytes[4096 + 40] ^= 1, || refused(path, 74, damaged));
        let bytes = fs::read(segment).unwrap();
        fs::remove_file(segment).unwrap();
        refused(path, 74, "missing");
        fs::write(segment, bytes).unwrap();
    }
    with(&marker, |bytes| bytes[20] ^= 1, || refused(path, 74, "twinflow-state"));
    with(&marker, |bytes| bytes.truncate(20), || refused(path, 74, "twinflow-state"));
    with(&marker, Vec::clear, || refused(path, 74, "twinflow-state"));
    // As it was, it starts, and everything is there.
    let server = Server::start_alone(path);
    let list = run(path, &["twins", "list", "turbines", "--server", &server.url()]);
    assert!(list.out.contains("t-0") && list.out.contains("t-1"), "{list:?}");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_state_without_its_marker_or_with_that_of_another_is_refused() {
    let (dir, other) = (stopped(), stopped());
    let marker = dir.path().join("state/twinflow-state");
    let own = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    refused(dir.path(), 78, "is no state directory: it holds ");
    fs::copy(other.path().join("state/twinflow-state"), &marker).unwrap();
    refused(dir.path(), 74, "not of log");
    fs::write(&marker, own.replace_once(b"state 1", b"state 0")).unwrap();
    refused(dir.path(), 74, "twinflow-state");
    fs::write(&marker, own.replace_once(b"state 1", b"state 2")).unwrap();
    refused(dir.path(), 78, "has format 2");
    fs::write(&marker, own).unwrap();
    let segment = files(dir.path(), "segment-").pop().unwrap();
    let strange = files(other.path(), "segment-").pop().unwrap();
    fs::copy(strange, segment).unwrap();
    refused(dir.path(), 74, "not of log");
}

trait ReplaceOnce {
    fn replace_once(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceOnce for Vec<u8> {
    fn replace_once(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|window| window == from).unwrap();
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[test]
fn a_lost_payload_of_a_dead_letter_is_told_and_nothing_else_suffers() {
    let dir = stopped();
    let letters = files(dir.path(), "dead-letters-");
    assert!(!letters.is_empty());
    letters.iter().for_each(|file| fs::remove_file(file).unwrap());
    let server = Server::start_alone(dir.path());
    let url = server.url();
    let list = run(dir.path(), &["twins", "list", "turbines", "--server", &url]);
    assert!(list.out.contains("t-0"), "{list:?}");
    let show = run(dir.path(), &["dead-letters", "show", "1", "--server", &url]);
    assert!(show.code != Some(0) || !show.out.contains("no object"), "{show:?}");
    assert_eq!(server.stop().0, Some(0));
}

/// Runs a shell in a mount namespace of its own, where it may mount.
fn unshared(dir: &Path, script: &str) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_twinflow");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-ec", script]);
    let output = command.current_dir(dir).env("TWINFLOW", program).output();
    let output = output.expect("`unshare` of util-linux is needed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("unshare"), "a mount namespace is needed: {said}");
    output
}

#[test]
fn a_read_only_disk_is_78_and_a_full_one_74() {
    let dir = stopped();
    let read_only = "mount --bind state state && mount -o remount,bind,ro state \
                     && exec $TWINFLOW run --log-format text --no-supervise";
    let output = unshared(dir.path(), read_only);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("cannot be used") && said.contains("write access"), "{said}");
    let full = "mkdir full && mount -t tmpfs -o size=16k tmpfs full && cp twinflow.toml full/ \
                && cd full && head -c 12288 /dev/zero > filler \
                && exec $TWINFLOW run --log-format text --no-supervise";
    let output = unshared(dir.path(), full);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("no space left on the disk to "), "{said}");
}
