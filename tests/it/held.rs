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

#[test]
fn law_d1_a_call_is_told_once_it_is_committed_and_a_slow_listener_misses_some() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let (builder, broker) = builder(2, Memory::acknowledged(20));
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    let (handle, runtime) = (engine.handle(), engine.runtime().clone());
    let mut listener = handle.listen_to_calls("seen", Some("a")).unwrap();
    store.hold();
    broker.send("seen", "a", step(1, Act::Reply));
    broker.send("seen", "b", step(1, Act::Reply));
    let peeked = || runtime.block_on(handle.peek("seen", "b")).unwrap();
    assert!(eventually(|| peeked().is_some()), "it is processed");
    let early = runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(1), listener.next()).await });
    assert!(early.is_err(), "a call was told before its commit");
    store.release();
    let call = runtime.block_on(listener.next()).unwrap();
    assert_eq!((call.twin.as_str(), listener.missed()), ("a", 0));
    assert_eq!((call.messages.len(), call.feedback.len()), (1, 1));

    // More than is kept for one that does not listen.
    let mut all = handle.listen_to_calls("seen", None).unwrap();
    let before = broker.acknowledged();
    for n in 0..40_u64 {
        broker.send("seen", &format!("big-{n}"), " ".repeat(500_000) + "1");
    }
    wait_acknowledged(&broker, before + 40);
    let told = runtime.block_on(async {
        let mut told = 0;
        while tokio::time::timeout(Duration::from_secs(1), all.next()).await.is_ok() {
            told += 1;
        }
        told
    });
    let missed = all.missed();
    assert!(told > 4 && missed > 4 && told + missed == 40, "{told} told, {missed} missed");
    drop((all, listener));
    engine.stop().unwrap();
}
