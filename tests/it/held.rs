//! Nothing leaves before its epoch is committed (laws D1, F5, R1).

use std::{sync::Arc, time::Duration};

use twinflow::{StoreChoice, connectors::memory::Memory, store::HeldStore};

use crate::common::{Act, PATIENCE, builder, eventually, log, seen, step, wait_acknowledged};

#[test]
fn law_d1_while_the_store_is_held_nothing_moves_and_on_release_all_does() {
    for (workers, memory) in [
        (1, Memory::replayable(2)),
        (2, Memory::replayable(2)),
        (1, Memory::acknowledged(20)),
        (2, Memory::acknowledged(20)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(HeldStore::new(log(dir.path())));
        let (builder, broker) = builder(workers, memory);
        let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
        broker.send("seen", "before", step(0, Act::Count));
        wait_acknowledged(&broker, 1);

        store.hold();
        for n in 0..10 {
            broker.send("seen", &format!("twin-{n}"), step(n, Act::Reply));
        }
        let moved = broker.wait(Duration::from_secs(1), |broker| {
            broker.acknowledged() > 1 || !broker.feedback().is_empty()
        });
        assert!(!moved, "{workers} workers: something left before its commit");
        assert_eq!(broker.sessions(), 1, "the session stays up");

        store.release();
        wait_acknowledged(&broker, 11);
        let mut replies = 0;
        let all = broker.wait(PATIENCE, |broker| {
            replies += broker.feedback().len();
            replies == 10
        });
        assert!(all, "{workers} workers: {replies} of 10 replies came");
        engine.stop().unwrap();
    }
}

#[test]
fn law_r1_a_read_waits_for_its_epoch_and_a_held_store_refuses_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let (builder, broker) = builder(1, Memory::acknowledged(20));
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    let (handle, runtime) = (engine.handle(), engine.runtime().clone());
    store.hold();
    broker.send("seen", "a", step(1, Act::Count));
    let peeked = || runtime.block_on(handle.peek("seen", "a")).unwrap();
    assert!(eventually(|| peeked().is_some()), "uncommitted reads see it at once");
    let read = handle.read("seen", "a");
    let early =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(1), read).await });
    assert!(early.is_err(), "a committed read was answered before the commit");
    let held = || {
        let asked = runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(50), handle.read("seen", "a")).await
        });
        matches!(asked, Ok(Err(twinflow::engine::RequestError::Held)))
    };
    assert!(eventually(held), "after two seconds new reads are refused");
    store.release();
    wait_acknowledged(&broker, 1);
    assert!(eventually(|| !held()), "the store moves again");
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1]);
    engine.stop().unwrap();
}
