//! Laws of connections and of stopping: what starts, stops, pauses and fails.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use twinflow::{
    ConnectionSettings, ConnectionState, Engine, StoreChoice, connectors::memory::Memory,
    store::HeldStore,
};

use crate::common::{
    Act, PATIENCE, Watch, builder, eventually, log, seen, step, wait_acknowledged,
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
