//! Only a reset moves a stored position (law D3).

use serde_json::{Value, json};

use super::{Kept, acknowledged, contents, engine, info, replayable, send, told};
use crate::program::{FILE, directory, run};

fn next(dir: &std::path::Path) -> Vec<u64> {
    let positions = info(dir)["connections"][0]["positions"].clone();
    positions.as_array().unwrap().iter().map(|it| it["next"].as_u64().unwrap()).collect()
}

#[test]
fn law_d3_the_next_start_begins_where_a_position_was_moved_to() {
    let dir = directory(FILE);
    let state_dir = dir.path().join("state");
    let broker = replayable();
    for n in 0..40 {
        send(&broker, "kept", &format!("t{}", n % 4), &told(n));
    }
    let first = engine(&state_dir, &broker);
    acknowledged(&broker, 40);
    let before: Vec<Kept> =
        (0..4).map(|twin| first.twin("kept", &format!("t{twin}")).unwrap().unwrap()).collect();
    super::stop(first, &state_dir);
    let ends = next(&state_dir);
    assert_eq!(ends.iter().sum::<u64>(), 40);

    let reset =
        |more: &[&str]| run(dir.path(), &[&["connections", "reset", "plant"], more].concat());
    let unclear = reset(&["--to", "3"]);
    assert_eq!(unclear.code, Some(64), "two partitions: {unclear:?}");
    let to = (ends[1] - 3).to_string();
    let topic = info(&state_dir)["connections"][0]["positions"][1]["topic"].clone();
    let topic = topic.as_str().unwrap();
    let moved = reset(&["--partition", "1", "--to", &to, "--output", "json"]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    let said: Value = serde_json::from_str(&moved.out).unwrap();
    let expected = json!([{ "topic": topic, "partition": 1, "from": ends[1], "to": ends[1] - 3 }]);
    assert_eq!(said["moved"], expected);
    assert_eq!(next(&state_dir), [ends[0], ends[1] - 3]);
    let audit = std::fs::read_to_string(state_dir.join("audit.log")).unwrap();
    assert!(audit.contains("\"connections reset\"") && audit.contains("uid "), "{audit}");

    // The last three of partition 1 come once more, and nothing else does.
    let again = engine(&state_dir, &broker);
    let applied = |engine: &twinflow::Engine| -> Vec<Vec<u64>> {
        let state = |twin| engine.twin::<Kept>("kept", &format!("t{twin}")).unwrap().unwrap();
        (0..4).map(|twin| state(twin).numbers).collect()
    };
    let count = |all: &[Vec<u64>]| all.iter().map(Vec::len).sum::<usize>();
    let came = (0..super::PATIENCE.as_millis() / 5).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        count(&applied(&again)) >= 43
    });
    assert!(came, "{:?}", applied(&again));
    std::thread::sleep(std::time::Duration::from_millis(200));
    let after = applied(&again);
    assert_eq!(count(&after), 43, "{after:?}");
    for (old, new) in before.iter().zip(&after) {
        assert!(new.starts_with(&old.numbers), "{old:?} {new:?}");
        let more = &new[old.numbers.len()..];
        assert!(more.iter().all(|n| old.numbers.contains(n)), "{more:?} is not read again");
    }
    super::stop(again, &state_dir);
    assert_eq!(next(&state_dir), ends, "and it stands where it stood");
}

#[test]
fn what_cannot_be_meant_changes_nothing() {
    let dir = directory(FILE);
    let state_dir = dir.path().join("state");
    super::everything(&state_dir, &replayable());
    let before = contents(&state_dir);
    for (arguments, code, why) in [
        (&["plant", "--to", "yesterday"][..], 64, "earliest, latest or an offset"),
        (&["plant", "--to", "-1"], 64, ""),
        (&["plant"], 64, "--to"),
        (&["nobody", "--partition", "0", "--to", "1"], 64, "known: \"plant\""),
        (&["plant", "--to", "earliest"], 64, "no connection \"plant\" to ask"),
        (&["web", "--to", "latest"], 64, "known: \"plant\""),
    ] {
        let ended = run(dir.path(), &[&["connections", "reset"], arguments].concat());
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(why), "{arguments:?}: {ended:?}");
    }
    let after = contents(&state_dir);
    let changed: Vec<_> =
        after.keys().filter(|name| before.get(*name) != after.get(*name)).collect();
    let of_starts = |name: &str| name == "LOCK" || name.starts_with("claim-");
    assert!(changed.iter().all(|name| of_starts(name)), "more than who opened it: {changed:?}");
    assert!(changed.len() < 3, "older claims go: {changed:?}");
}
