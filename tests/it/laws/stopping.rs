//! Laws F: stopping, pausing, failing.
use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use twinflow::{
    ConnectionSettings, ConnectionState, Engine, StoreChoice,
    connectors::{Connector, error::ConnectorError, link::Link, memory::Memory, message::Message},
    store::HeldStore,
};

use crate::common::{
    Act, PATIENCE, Watch, builder, eventually, log, seen, start, step, wait_acknowledged,
};

#[test]
fn a_connection_that_is_resumed_before_it_has_paused_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let (builder, broker) = builder(1, Memory::acknowledged(20));
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    // What is not acknowledged keeps the connection from being paused.
    store.hold();
    broker.send("seen", "a", step(1, Act::Count));
    let state = || engine.handle().connections()[0].clone();
    assert!(eventually(|| state().unacknowledged_deliveries == 1));
    engine.handle().pause("plant");
    assert!(eventually(|| state().state == ConnectionState::Draining));
    engine.handle().resume("plant");
    store.release();
    wait_acknowledged(&broker, 1);
    broker.send("seen", "a", step(2, Act::Count));
    wait_acknowledged(&broker, 2);
    assert!(eventually(|| state().state == ConnectionState::Running), "{:?}", state().state);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1, 2]);
    engine.stop().unwrap();
}

/// Ends an engine whose store is held, on a thread of its own; whether that ended.
fn ends_while_held(end: impl FnOnce(Engine) + Send + 'static) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let memory = Memory::acknowledged(20);
    let broker = memory.broker();
    let settings = ConnectionSettings { drain_timeout_ms: 300, ..ConnectionSettings::default() };
    let builder = Engine::builder().workers(2).model("seen", Watch);
    let builder = builder.connection_with("plant", memory, settings);
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    store.hold();
    broker.send("seen", "a", step(1, Act::Count));
    let waits = || engine.handle().connections()[0].unacknowledged_deliveries == 1;
    assert!(eventually(waits));
    let (tell, told) = mpsc::sync_channel(1);
    let ending = std::thread::spawn(move || {
        end(engine);
        tell.send(()).unwrap();
    });
    let ended = told.recv_timeout(PATIENCE + Duration::from_secs(10)).is_ok();
    store.release();
    ending.join().unwrap();
    assert_eq!(broker.acknowledged(), 0, "nothing was durable");
    ended
}

#[test]
fn law_f2_an_engine_whose_store_is_held_ends_at_once_when_it_is_dropped() {
    assert!(ends_while_held(drop));
}

#[test]
fn law_f2_a_stop_ends_at_its_deadline_when_the_store_is_held_and_says_what_was_left() {
    assert!(ends_while_held(|engine| {
        let stopped = engine.stop().unwrap();
        assert_eq!(stopped.left[0].unacknowledged, 1, "{stopped}");
    }));
}

/// Panics with its first delivery.
struct Panics;

impl Connector for Panics {
    async fn run(&mut self, mut link: Link) -> Result<(), ConnectorError> {
        let mut delivery = link.intake.reserve().await?;
        delivery.push(&Message::new("seen", "p", &step(1, Act::Count)));
        delivery.deliver();
        panic!("the connector is broken");
    }
}

#[test]
fn law_f1_a_panic_in_a_connector_fails_that_connection_only() {
    let (builder, broker) = builder(2, Memory::acknowledged(20));
    let engine = builder.connection("broken", Panics).start().unwrap();
    let state = |at: usize| engine.handle().connections()[at].clone();
    assert!(eventually(|| state(1).state == ConnectionState::Failed));
    assert_eq!(state(1).error.as_deref(), Some("the connector panicked"));
    for n in 0..100 {
        broker.send("seen", "a", step(n, Act::Count));
        wait_acknowledged(&broker, n + 1);
    }
    assert_eq!(state(0).state, ConnectionState::Running);
    engine.stop().unwrap();
}

#[test]
fn law_f2_a_stop_drains_and_says_what_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::acknowledged(20);
    let broker = memory.broker();
    broker.confirm_feedback(false);
    let settings = ConnectionSettings { drain_timeout_ms: 300, ..ConnectionSettings::default() };
    let builder = Engine::builder().workers(2).state_dir(dir.path()).model("seen", Watch);
    let engine = builder.connection_with("plant", memory, settings).start().unwrap();
    broker.send("seen", "a", step(1, Act::Reply));
    assert!(eventually(|| !broker.feedback().is_empty()));
    let stopped = engine.stop().unwrap();
    assert_eq!(stopped.left.len(), 1);
    assert_eq!((stopped.left[0].unacknowledged, stopped.left[0].unconfirmed_feedback), (0, 1));
    assert_eq!(broker.acknowledged(), 1, "what was taken is acknowledged before the end");

    broker.confirm_feedback(true);
    for n in 2..2000 {
        broker.send("seen", "a", step(n, Act::Reply));
    }
    let (engine, _) = start(dir.path(), 1, Memory::from(&broker));
    assert!(eventually(|| broker.sessions() == 2));
    let stopped = engine.stop().unwrap();
    assert!(stopped.left.is_empty(), "{stopped}");
    let done = broker.acknowledged();
    let (engine, _) = start(dir.path(), 1, Memory::replayable(1));
    let numbers = seen(&engine, "a").unwrap().numbers;
    assert_eq!(numbers.len() as u64, done, "no more and no less than was acknowledged");
    engine.stop().unwrap();
}

#[test]
fn law_f2_a_stop_does_not_wait_for_feedback_that_no_session_can_take() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, broker) = start(dir.path(), 1, Memory::acknowledged(20));
    broker.confirm_feedback(false);
    broker.send("seen", "a", step(1, Act::Reply));
    assert!(eventually(|| !broker.feedback().is_empty()));
    broker.refuse(true);
    broker.cut();
    let state = || engine.handle().connections()[0].state;
    assert!(eventually(|| state() == ConnectionState::Degraded));
    let began = tokio::time::Instant::now();
    let stopped = engine.stop().unwrap();
    assert_eq!(stopped.left[0].unconfirmed_feedback, 1, "it is stored and comes again");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "the limit is 10 s and it took {took:?}");
}

#[test]
fn law_f5_a_connector_that_waits_for_room_still_hears_its_upstream() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let memory = Memory::replayable(1);
    let broker = memory.broker();
    // More than the epochs that may wait and the queue of the link take together.
    let payload = serde_json::json!({ "n": 1, "pad": "x".repeat(900_000) }).to_string();
    for _ in 0..120 {
        broker.send("seen", "a", &payload);
    }
    let builder = Engine::builder().workers(1).model("seen", Watch);
    let builder = builder.store(StoreChoice::Custom(store.clone()));
    store.hold();
    let engine = builder.connection("plant", memory).start().unwrap();
    let status = || engine.handle().connections()[0].clone();
    let mut before = 0;
    let full = || {
        let (now, was) = (status(), before);
        before = now.received;
        now.queued > 5 && now.received == was
    };
    assert!(eventually(full), "the link is full: {:?}", status());
    assert!(broker.backlog() > 0);
    broker.cut();
    assert!(eventually(|| broker.sessions() == 2), "a cut is noticed without room");
    store.release();
    wait_acknowledged(&broker, 120);
    assert_eq!(seen(&engine, "a").unwrap().numbers.len(), 120, "each once");
    engine.stop().unwrap();
}
