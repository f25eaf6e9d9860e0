//! Laws D: what is stored, and what comes of it later.

use std::path::Path;

use twinflow::{
    Engine,
    connectors::{
        ConnectorInfo,
        memory::{Memory, MemoryBroker, MemoryMessage},
    },
    operators::dead_letter::DeadLetterKind,
    prelude::*,
};

use crate::common::{
    Act, Doing, Seen, Step, TestClock, Watch, eventually, seen, step, wait_acknowledged,
};

const KEEP_SECS: u64 = 60;

fn dedupes(dir: &Path, broker: &MemoryBroker, clock: &TestClock) -> Engine {
    let info = ConnectorInfo { dedupe_keep_secs: Some(KEEP_SECS), ..ConnectorInfo::default() };
    let memory = Memory::from(broker).with_info(info);
    let builder = Engine::builder().workers(2).state_dir(dir).clock(clock.clock());
    builder.model("seen", Watch).connection("plant", memory).start().unwrap()
}

fn with_id(id: &str, n: u64, act: Act) -> MemoryMessage {
    let id = Some(id.as_bytes().to_vec());
    MemoryMessage { id, ..MemoryMessage::new("seen", "a", step(n, act)) }
}

#[test]
fn law_d5_an_id_applies_once_in_an_epoch_after_it_after_remove_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, clock) = (Memory::acknowledged(20).broker(), TestClock::at(1000));
    // Sent before the start, so that they come in one delivery and one epoch.
    broker.send_all([with_id("k", 1, Act::Count), with_id("k", 1, Act::Count)]);
    let engine = dedupes(dir.path(), &broker, &clock);
    wait_acknowledged(&broker, 2);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1], "repeated in its own epoch");
    broker.send_with(with_id("k", 1, Act::Count));
    wait_acknowledged(&broker, 3);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1], "repeated later");
    assert!(engine.handle().dead_letters().is_empty());
    broker.send_with(with_id("k", 2, Act::Count));
    wait_acknowledged(&broker, 4);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1], "another body is another message");
    assert_eq!(engine.handle().dead_letters().len(), 1, "and is not lost without a word");
    broker.send_with(with_id("r", 3, Act::Remove));
    broker.send_with(with_id("k", 1, Act::Count));
    wait_acknowledged(&broker, 6);
    assert_eq!(seen(&engine, "a"), None, "ids survive the removal");
    drop(engine);

    let engine = dedupes(dir.path(), &broker, &clock);
    broker.send_with(with_id("k", 1, Act::Count));
    wait_acknowledged(&broker, 7);
    assert_eq!(seen(&engine, "a"), None, "and a restart");
    clock.set(1000 + KEEP_SECS);
    broker.send_with(with_id("k", 1, Act::Count));
    wait_acknowledged(&broker, 8);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1], "until they expire");
    engine.stop().unwrap();
}

#[test]
fn law_d5_a_dead_lettered_message_with_an_id_is_one_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, clock) = (Memory::acknowledged(20).broker(), TestClock::at(1000));
    let engine = dedupes(dir.path(), &broker, &clock);
    for count in 1..=2 {
        broker.send_with(with_id("k", 1, Act::Fail));
        wait_acknowledged(&broker, count);
    }
    drop(engine);
    let engine = dedupes(dir.path(), &broker, &clock);
    broker.send_with(with_id("k", 1, Act::Fail));
    wait_acknowledged(&broker, 3);
    assert_eq!(engine.handle().dead_letters().len(), 1);
    engine.stop().unwrap();
}

fn kinds(engine: &Engine) -> Vec<DeadLetterKind> {
    let letters = engine.handle().dead_letters().list(0, 1000);
    letters.into_iter().map(|letter| letter.kind).collect()
}

#[test]
fn law_d6_feedback_that_expires_becomes_a_dead_letter_and_does_not_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, clock) = (Memory::acknowledged(20).broker(), TestClock::at(1000));
    broker.confirm_feedback(false);
    let start = || {
        let info = ConnectorInfo { feedback_expiry_secs: Some(30), ..ConnectorInfo::default() };
        let memory = Memory::from(&broker).with_info(info);
        let builder = Engine::builder().workers(2).state_dir(dir.path()).clock(clock.clock());
        builder.model("seen", Watch).connection("plant", memory).start().unwrap()
    };
    let engine = start();
    broker.send("seen", "a", step(1, Act::Reply));
    wait_acknowledged(&broker, 1);
    assert!(kinds(&engine).is_empty());
    clock.set(1030);
    assert!(eventually(|| kinds(&engine) == [DeadLetterKind::Feedback]), "{:?}", kinds(&engine));
    drop(engine);
    broker.feedback();
    let engine = start();
    assert_eq!(kinds(&engine), [DeadLetterKind::Feedback]);
    assert_eq!(engine.handle().connections()[0].feedback_unconfirmed, 0);
    engine.stop().unwrap();
    assert!(broker.feedback().is_empty());
}

#[test]
fn law_d6_a_full_outbox_gives_up_its_oldest_and_stops_no_intake() {
    let memory = Memory::acknowledged(20);
    let broker = memory.broker();
    broker.confirm_feedback(false);
    let large = "x".repeat(1_000_000);
    let processor =
        Doing(move |cx: &mut ProcessingContext<'_>, twin: &mut Seen, steps: &[Step]| {
            twin.numbers.push(steps[0].n);
            cx.send_bytes_to_data_source(large.as_bytes())?;
            Ok(Outcome::Update)
        });
    let settings = twinflow::operators::ModelSettings {
        grouping: Some(Grouping::Single),
        ..twinflow::operators::ModelSettings::default()
    };
    let builder = Engine::builder().workers(1).memory_store();
    let engine = builder.model_with("seen", processor, settings).connection("plant", memory);
    let engine = engine.start().unwrap();
    for n in 0..80 {
        broker.send("seen", "a", step(n, Act::Count));
    }
    wait_acknowledged(&broker, 80);
    // 64 MiB hold 67 of them.
    let given_up = vec![DeadLetterKind::Feedback; 13];
    assert!(eventually(|| kinds(&engine) == given_up), "{} given up", kinds(&engine).len());
    assert_eq!(engine.handle().connections()[0].feedback_unconfirmed, 67);
    drop(engine);
}
