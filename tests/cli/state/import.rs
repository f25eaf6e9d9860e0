//! An import counts in whole or not at all, whatever is wrong with it and whenever it is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{contents, everything, info, replayable, state};
use crate::program::{directory, run};

fn exported(dir: &Path) -> String {
    let from = dir.join("from");
    everything(&from, &replayable());
    let exported = state("export", &from, &[]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    exported.out
}

fn import(dir: &Path, text: &str) -> (PathBuf, crate::program::Ended) {
    let (to, file) = (dir.join("to"), dir.join("file.json"));
    fs::write(&file, text).unwrap();
    let ended = state("import", &to, &[file.to_str().unwrap()]);
    (to, ended)
}

#[test]
fn what_is_not_whole_is_refused_and_leaves_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let good = exported(dir.path());
    let lines: Vec<_> = good.lines().collect();
    let cut = &good[..good.len() - lines[lines.len() - 1].len() - 1];
    let half_a_line = &good[..good.len() / 2];
    let newer = good.replacen("\"format\":1", "\"format\":2", 1);
    let twice = {
        let mut twice = lines.clone();
        twice.insert(2, twice[2]);
        twice.remove(3);
        twice[2] = twice[1];
        twice.join("\n") + "\n"
    };
    for (text, why) in [
        (String::new(), "is not {\"twinflow_state\""),
        ("{}\n".into(), "cannot be read"),
        (lines[1].to_owned(), "is not {\"twinflow_state\""),
        (newer, "it has format 2, this twinflow reads 1"),
        (cut.to_owned(), "it was cut off"),
        (half_a_line.to_owned(), "it was cut off"),
        (good.replacen("twin 3", "twin 4", 1), "their CRC-32 is"),
        (good.replacen("\"total\":1.5", "\"total\":1.6", 1), "their CRC-32 is"),
        (good.replacen("\"model\":\"kept\"", "\"model\":\"kopt\"", 1), "no model \"kopt\""),
        (twice, "their CRC-32 is"),
        (format!("{good}{{}}\n"), "cannot be read"),
        (format!("{good}{}\n", lines[1]), "follows the line that ends it"),
        (format!("{}\n{}", lines[0], good), "stands there once"),
    ] {
        let (to, ended) = import(dir.path(), &text);
        assert_eq!(ended.code, Some(78), "{why}: {ended:?}");
        assert!(ended.err.contains(why), "{why}: {ended:?}");
        let left: Vec<_> =
            if to.exists() { contents(&to).into_keys().collect() } else { Vec::new() };
        assert!(left.is_empty() || left == ["LOCK"], "{why}: {left:?}");
    }
    let (to, ended) = import(dir.path(), &good);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(info(&to)["twins"], 20);
}

#[test]
fn a_directory_that_holds_something_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let good = exported(dir.path());
    let (to, ended) = import(dir.path(), &good);
    assert_eq!(ended.code, Some(0));
    let before = contents(&to);
    let (_, again) = import(dir.path(), &good);
    assert_eq!(again.code, Some(78), "{again:?}");
    assert!(again.err.contains("holds a state already"), "{again:?}");
    assert!(contents(&to) == before);
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("holiday.jpg"), "x").unwrap();
    let file = dir.path().join("file.json");
    let ended = state("import", &foreign, &[file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert_eq!(contents(&foreign).len(), 1);
}

/// An export of many twins, made here: that the format is what its page says.
fn many(twins: usize) -> String {
    let mut text = String::from(
        r#"{"twinflow_state":{"format":1,"generation":3,"epoch":40,"time_us":5,"dead_letters_newest":0,"models":{"0":"turbines"},"connections":{}}}"#,
    );
    text.push('\n');
    for twin in 0..twins {
        let state = format!(r#"{{"hot_readings":{}}}"#, twin % 3);
        text.push_str(&format!(
            r#"{{"twin":{{"model":"turbines","id":"t-{twin}","version":1,"state":{state}}}}}"#
        ));
        text.push('\n');
    }
    let crc = crc32(text.as_bytes());
    let lines = twins + 1;
    text.push_str(&format!(r#"{{"end":{{"lines":{lines},"twins":{twins},"crc32":"{crc:08x}"}}}}"#));
    text.push('\n');
    text
}

/// CRC-32 (IEEE), bit by bit.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_kill_leaves_all_of_it_or_a_directory_that_nothing_starts_with() {
    const TWINS: usize = 20_000;
    let file = "[models.turbines]\ntype = \"wind-turbine\"\n[server]\nlisten = \"127.0.0.1:0\"\n";
    let dir = directory(file);
    fs::write(dir.path().join("many.json"), many(TWINS)).unwrap();
    let (state_dir, mut killed, mut whole) = (dir.path().join("state"), 0, 0);
    for kill in 0.. {
        let mut child = Command::new(env!("CARGO_BIN_EXE_twinflow"));
        child.current_dir(dir.path()).args(["state", "import", "many.json"]);
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(7 * kill));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let looked = run(dir.path(), &["state", "info", "--output", "json"]);
        match looked.code {
            Some(0) => {
                assert_eq!(info(&state_dir)["twins"], TWINS, "a part of it counts");
                whole += 1;
            }
            Some(78) => {
                assert!(ended.is_none(), "it ended by itself and nothing is there: {looked:?}");
                killed += 1;
                let was_begun = state_dir.join("twinflow-state.import").exists();
                if was_begun {
                    let again = run(dir.path(), &["state", "import", "many.json"]);
                    assert_eq!(again.code, Some(78), "{again:?}");
                    let started = run(dir.path(), &["run", "--no-supervise"]);
                    assert_eq!(started.code, Some(78), "{started:?}");
                    assert!(started.err.contains("was cut off"), "{started:?}");
                }
            }
            _ => panic!("{looked:?}"),
        }
        if state_dir.exists() {
            fs::remove_dir_all(&state_dir).unwrap();
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(killed >= 3 && whole >= 1, "killed {killed}, whole {whole}");
}
