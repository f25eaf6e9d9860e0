//! The log stays bounded, and what the sweeps leave of it is everything (laws D2, D10).

use std::path::Path;

use twinflow::{
    Commit, Engine, EngineBuilder, StoreChoice,
    connectors::memory::{Memory, MemoryBroker},
    error::ErrorKind,
    prelude::*,
};

use crate::common::{Act, Doing, PATIENCE, Seen, Step, seen, step, wait_acknowledged};

const TWINS: u64 = 150;
/// Messages of a round: each twin that is not silent gets two.
const ROUND: u64 = 2 * TWINS;
const SEGMENT: u64 = 1 << 20;

/// An engine whose twins have states of about 5.4 kB.
fn start(dir: &Path, workers: usize, memory: Memory) -> (Engine, MemoryBroker) {
    let broker = memory.broker();
    let builder = builder(dir, workers, "seen").connection("plant", memory);
    (builder.start().unwrap(), broker)
}

fn builder(dir: &Path, workers: usize, model: &str) -> EngineBuilder {
    let large = Doing(|cx: &mut ProcessingContext<'_>, twin: &mut Seen, steps: &[Step]| {
        let mut outcome = Outcome::Update;
        for Step { n, act } in steps {
            twin.initialized += 1;
            twin.numbers = vec![u64::from(u32::MAX) + n; 600];
            match act {
                Act::Reply => cx.send_to_data_source(n)?,
                Act::Remove => outcome = Outcome::Remove,
                _ => {}
            }
        }
        Ok(outcome)
    });
    let (dir, segment_bytes) = (dir.to_owned(), Some(SEGMENT));
    let store = StoreChoice::Log { dir, segment_bytes, commit: Commit::EveryEpoch };
    Engine::builder().workers(workers).store(store).model(model, large)
}

/// Bytes of all files, and the number of the oldest segment.
fn disk(dir: &Path) -> (u64, u64) {
    let (mut bytes, mut oldest) = (0, u64::MAX);
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        // A file may go while it is looked at.
        bytes += file.metadata().map_or(0, |it| it.len());
        let name = file.file_name().into_string().unwrap();
        let number = name.strip_prefix("segment-").and_then(|it| it.strip_suffix(".log"));
        oldest = oldest.min(number.map_or(u64::MAX, |number| number.parse().unwrap()));
    }
    (bytes, oldest)
}

#[test]
fn law_d10_the_log_stays_bounded_and_law_d2_nothing_is_lost_with_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::replayable(3);
    let broker = memory.broker();
    broker.confirm_feedback(false);
    // All of this is said once, and only sweeps say it again.
    broker.send("seen", "silent", step(7, Act::Count));
    broker.send("seen", "asks", step(8, Act::Reply));
    broker.send("seen", "gone", step(9, Act::Count));
    broker.send("seen", "gone", step(10, Act::Remove));
    broker.send("seen", "broken", b"no json");
    let (mut sent, mut most, mut memory) = (5, 0, memory);
    for (round, workers) in [1, 3].into_iter().enumerate() {
        let (engine, broker) = start(dir.path(), workers, memory);
        for _ in 0..12 {
            for n in 0..ROUND {
                broker.send("seen", &format!("twin-{}", n % TWINS), step(sent + n, Act::Count));
            }
            sent += ROUND;
            wait_acknowledged(&broker, sent);
            most = most.max(disk(dir.path()).0);
        }
        assert_eq!(seen(&engine, "silent").unwrap().initialized, 1, "round {round}");
        assert_eq!(seen(&engine, "gone"), None, "round {round}");
        let twin = seen(&engine, "twin-5").unwrap();
        let calls = 24 * (round as u64 + 1);
        assert_eq!(twin.initialized, calls, "positions are known: nothing comes twice");
        assert_eq!(engine.handle().dead_letters().len(), 1);
        assert_eq!(engine.handle().dead_letter_payload(1).unwrap().unwrap(), b"no json");
        let asked = broker.wait(PATIENCE, |broker| !broker.feedback().is_empty());
        assert!(asked, "round {round}: feedback that nobody confirmed comes again");
        // Every second round ends without a word.
        if round % 2 == 0 {
            drop(engine.stop().unwrap())
        } else {
            drop(engine)
        }
        memory = Memory::from(&broker);
    }
    let (_, oldest) = disk(dir.path());
    let live = TWINS * 5450;
    println!("{most} bytes at most with {live} alive, oldest segment {oldest}");
    assert!(oldest > 10, "segment {oldest} is still there");
    assert!(most < 3 * live + 9 * SEGMENT, "{most} bytes on disk with {live} alive");
}

#[test]
fn law_d8_what_the_configuration_lacks_is_carried_through_sweeps_when_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, plant) = start(dir.path(), 1, Memory::replayable(1));
    for n in 0..20 {
        plant.send("seen", &format!("twin-{n}"), step(n, Act::Count));
    }
    wait_acknowledged(&plant, 20);
    engine.stop().unwrap();

    let refused = builder(dir.path(), 2, "other").start().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StateRefused);
    assert!(refused.report().contains("--keep-unknown"), "{}", refused.report());
    let memory = Memory::acknowledged(1000);
    let other = memory.broker();
    let without = builder(dir.path(), 2, "other").keep_unknown(true).connection("other", memory);
    let engine = without.start().unwrap();
    let mut sent = 0;
    while disk(dir.path()).1 == 1 {
        for n in 0..ROUND {
            other.send("other", &format!("twin-{}", n % TWINS), step(n, Act::Count));
        }
        sent += ROUND;
        wait_acknowledged(&other, sent);
    }
    engine.stop().unwrap();

    let both = builder(dir.path(), 1, "seen").connection("plant", Memory::from(&plant));
    let engine = both.keep_unknown(true).start().unwrap();
    for n in 0..20 {
        let twin = seen(&engine, &format!("twin-{n}")).unwrap();
        assert_eq!(twin.initialized, 1, "its state and its position are known");
    }
    engine.stop().unwrap();
}
