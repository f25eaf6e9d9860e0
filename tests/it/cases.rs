//! Cases of the behaviour that need a whole engine and are no law of their own.

use std::sync::Arc;

use twinflow::{
    Engine, StoreChoice,
    connectors::memory::{Memory, MemoryMessage},
    error::ErrorKind,
    store::HeldStore,
};

use crate::common::{
    Act, PATIENCE, Watch, builder, eventually, log, seen, standing_still, start, step,
    wait_acknowledged,
};

#[test]
fn case_4_a_model_name_that_is_blank_or_given_twice_is_an_error_that_names_it() {
    for (names, said) in [(["pump", "pump"], "\"pump\""), (["pump", " "], "model name")] {
        let builder = Engine::builder().memory_store().workers(1);
        let builder = builder.model(names[0], Watch).model(names[1], Watch);
        let error = builder.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.report().contains(said), "{}", error.report());
    }
}

#[test]
fn case_7_what_waited_while_the_worker_was_busy_is_one_call_in_arrival_order() {
    let (go, processor) = standing_still();
    let memory = Memory::replayable(1);
    let broker = memory.broker();
    let builder = Engine::builder().workers(1).memory_store().model("seen", processor);
    let engine = builder.connection("plant", memory).start().unwrap();
    broker.send("seen", "a", step(0, Act::Count));
    let status = || engine.handle().connections()[0].clone();
    assert!(eventually(|| status().received == 1 && status().queued == 0), "the worker is busy");
    for n in 1..=50 {
        broker.send("seen", "a", step(n, Act::Count));
    }
    assert!(eventually(|| status().received == 51));
    go.send(()).unwrap();
    wait_acknowledged(&broker, 51);
    let twin = seen(&engine, "a").unwrap();
    assert!(twin.numbers.into_iter().eq(0..=50));
    assert!(twin.calls <= 3, "{} calls", twin.calls);
    engine.stop().unwrap();
}

#[test]
fn case_9_a_twin_that_always_panics_harms_no_other_and_keeps_its_state() {
    let (builder, broker) = builder(2, Memory::replayable(2));
    let engine = builder.start().unwrap();
    broker.send("seen", "x", step(0, Act::Count));
    for n in 1..=200 {
        broker.send("seen", "x", step(n, Act::Panic));
        broker.send("seen", &format!("twin-{}", n % 10), step(n, Act::Count));
    }
    wait_acknowledged(&broker, 401);
    assert_eq!(seen(&engine, "x").unwrap().numbers, [0]);
    let others = (0..10).map(|n| seen(&engine, &format!("twin-{n}")).unwrap().numbers.len());
    assert_eq!(others.sum::<usize>(), 200);
    let letters = engine.handle().dead_letters().list(0, 1000);
    assert_eq!(letters.len(), 200);
    assert!(letters.iter().all(|letter| letter.reason.contains("is worse")));
    engine.stop().unwrap();
}

#[test]
fn case_11_feedback_that_was_not_known_to_be_durable_never_left_before_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::replayable(1);
    let broker = memory.broker();
    {
        let store = Arc::new(HeldStore::new(log(dir.path())));
        let builder = Engine::builder().workers(2).model("seen", Watch);
        let builder = builder.store(StoreChoice::Custom(store.clone()));
        let engine = builder.connection("plant", memory).start().unwrap();
        store.hold();
        broker.send("seen", "a", step(1, Act::Reply));
        let handle = engine.handle();
        let processed = || engine.runtime().block_on(handle.peek("seen", "a")).unwrap().is_some();
        assert!(eventually(processed));
    }
    assert!(broker.feedback().is_empty(), "it left and its cause did not count");
    let (engine, broker) = start(dir.path(), 1, Memory::from(&broker));
    broker.send("seen", "a", step(2, Act::Count));
    wait_acknowledged(&broker, 2);
    let mut sent = Vec::new();
    assert!(broker.wait(PATIENCE, |broker| {
        sent.extend(broker.feedback());
        !sent.is_empty()
    }));
    assert!(engine.stop().unwrap().left.is_empty());
    sent.extend(broker.feedback());
    let first = sent[0].id;
    assert!(sent.iter().all(|feedback| feedback.id == first && feedback.payload == b"1"));
}

#[test]
fn case_12_a_burst_for_one_twin_does_not_keep_another_waiting_for_its_end() {
    let (builder, broker) = builder(1, Memory::replayable(2));
    let to = |partition, twin: &str, n| MemoryMessage {
        partition: Some(partition),
        ..MemoryMessage::new("seen", twin, step(n, Act::Count))
    };
    let engine = builder.start().unwrap();
    broker.send_all((0..10_000).map(|n| to(0, "burst", n)));
    broker.send_all([to(1, "other", 1)]);
    assert!(broker.wait(PATIENCE, |broker| broker.committed()[1] == 1));
    wait_acknowledged(&broker, 10_001);
    let twin = seen(&engine, "burst").unwrap();
    assert!(twin.calls < 100 && twin.numbers.into_iter().eq(0..10_000), "{} calls", twin.calls);
    engine.stop().unwrap();
}
