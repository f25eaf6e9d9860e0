//! Laws S: links, epochs, bounds.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use twinflow::{
    Commit, Engine, StoreChoice,
    connectors::{
        memory::{Memory, MemoryMessage},
        route,
    },
    prelude::*,
    store::HeldStore,
};

use crate::common::{
    Act, Doing, Seen, Step, Watch, builder, eventually, log, seen, standing_still, start, step,
    wait_acknowledged,
};

#[test]
fn law_s1_a_fast_connection_does_not_starve_a_slow_one() {
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let (may_go, newest) = (Mutex::new(may_go), AtomicU64::new(0));
    // The slow one's twin notes how far the fast one was.
    let processor = Doing(move |cx: &mut ProcessingContext<'_>, twin: &mut Seen, all: &[Step]| {
        if cx.twin() == "slow" {
            twin.numbers.push(newest.load(Ordering::SeqCst));
            return Ok(Outcome::Update);
        }
        if all[0].n == 0 {
            may_go.lock().unwrap().recv().unwrap();
        }
        newest.fetch_max(all[all.len() - 1].n, Ordering::SeqCst);
        Ok(Outcome::NoUpdate)
    });
    let (fast, slow) = (Memory::replayable(1), Memory::acknowledged(20));
    let (upstream, broker) = (fast.broker(), slow.broker());
    upstream.send("seen", "fast", step(0, Act::Count));
    let engine = Engine::builder().workers(1).memory_store().model("seen", processor);
    let engine = engine.connection("fast", fast).connection("slow", slow).start().unwrap();
    let status = |at: usize| engine.handle().connections()[at].clone();
    assert!(eventually(|| status(0).received == 1 && status(0).queued == 0), "it is busy");
    upstream.send_all((1..60_000).map(|n| MemoryMessage::new("seen", "fast", step(n, Act::Count))));
    assert!(eventually(|| status(0).queued > 4096), "the fast link is full");
    broker.send("seen", "slow", step(1, Act::Count));
    assert!(eventually(|| status(1).queued == 1));
    go.send(()).unwrap();
    wait_acknowledged(&upstream, 60_000);
    wait_acknowledged(&broker, 1);
    let before = seen(&engine, "slow").unwrap().numbers[0];
    assert!(before < 8192, "{before} messages of the fast connection came first");
    engine.stop().unwrap();
}

#[test]
fn law_s2_a_reopened_link_goes_on_behind_what_was_taken_and_not_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let (builder, broker) = builder(2, Memory::replayable(1));
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    store.hold();
    for n in 0..10 {
        broker.send("seen", "a", step(n, Act::Count));
    }
    let status = || engine.handle().connections()[0].clone();
    assert!(eventually(|| status().received == 10 && status().queued == 0), "all is taken");
    broker.cut();
    assert!(eventually(|| broker.sessions() == 2));
    for n in 10..20 {
        broker.send("seen", "a", step(n, Act::Count));
    }
    assert!(eventually(|| status().received == 20));
    store.release();
    wait_acknowledged(&broker, 20);
    assert!(seen(&engine, "a").unwrap().numbers.into_iter().eq(0..20));
    assert_eq!(status().repeated_positions, 0, "nothing was sent twice");
    engine.stop().unwrap();
}

#[test]
fn law_s4_eight_epochs_wait_for_their_commit_and_the_newest_grows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let (builder, broker) = builder(1, Memory::replayable(1));
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    store.hold();
    let status = || engine.handle().connections()[0].clone();
    for n in 0..100 {
        broker.send("seen", "a", step(n, Act::Count));
        let taken = || status().received == n + 1 && status().queued == 0;
        assert!(eventually(taken), "message {n} waits, though 8 MiB are not full");
    }
    let statistics = engine.handle().statistics();
    let waiting = statistics.open_epoch - statistics.committed_epoch;
    assert_eq!(waiting, 8, "the bound is reached and not passed");
    assert_eq!(broker.acknowledged(), 0);
    store.release();
    wait_acknowledged(&broker, 100);
    let twin = seen(&engine, "a").unwrap();
    assert!(twin.numbers.into_iter().eq(0..100));
    assert!(twin.calls <= 9, "{} calls: the rest is one epoch", twin.calls);
    engine.stop().unwrap();
}

#[test]
fn law_s4_full_epochs_are_closed_while_others_wait_for_company() {
    const MESSAGES: u64 = 20 * 4096;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let (builder, broker) = builder(1, Memory::replayable(1));
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    store.hold();
    let all = (0..MESSAGES)
        .map(|n| MemoryMessage::new("seen", &format!("twin-{}", n % 64), step(n, Act::Count)));
    broker.send_all(all);
    let status = || engine.handle().connections()[0].clone();
    let taken = || status().received == MESSAGES && status().queued == 0;
    assert!(eventually(taken), "{:?}", status());
    let statistics = engine.handle().statistics();
    let waiting = statistics.open_epoch - statistics.committed_epoch;
    assert!((9..=32).contains(&waiting), "{waiting} epochs wait");
    assert_eq!(broker.acknowledged(), 0);
    store.release();
    wait_acknowledged(&broker, MESSAGES);
    let numbers = seen(&engine, "twin-7").unwrap().numbers;
    assert!(numbers.into_iter().eq((0..MESSAGES).filter(|n| n % 64 == 7)));
    engine.stop().unwrap();
}

/// A worker without a core does not stop the others at once, and not for ever without a bound.
#[test]
fn law_s4_full_epochs_are_closed_ahead_of_a_worker_that_stands_still() {
    const MESSAGES: u64 = 20 * 4096;
    let (go, processor) = standing_still();
    let memory = Memory::replayable(1);
    let broker = memory.broker();
    let engine = Engine::builder().workers(2).memory_store().model("seen", processor);
    let engine = engine.connection("plant", memory).start().unwrap();
    let owner = |twin: &str| route::owner(route::bucket(route::twin_hash(twin.as_bytes())), 2);
    let source = route::slot_worker("plant", 0, 2);
    let still = (0..).map(|n| format!("still-{n}")).find(|twin| owner(twin) != source);
    broker.send("seen", &still.unwrap(), step(0, Act::Count));
    let status = || engine.handle().connections()[0].clone();
    let taken = || status().received - status().queued;
    assert!(eventually(|| taken() == 1), "the other worker stands still");
    let twin = |n| format!("twin-{}", n % 64);
    broker.send_all(
        (1..=MESSAGES).map(|n| MemoryMessage::new("seen", &twin(n), step(n, Act::Count))),
    );
    let ahead = || {
        let statistics = engine.handle().statistics();
        statistics.open_epoch - statistics.processed_epoch
    };
    assert!(eventually(|| ahead() == 8), "{} epochs ahead", ahead());
    assert!(eventually(|| taken() > 7 * 4096), "only {} messages are in them", taken());
    assert!(taken() < MESSAGES / 2, "{} messages are taken, without a bound", taken());
    go.send(()).unwrap();
    wait_acknowledged(&broker, MESSAGES + 1);
    let numbers = seen(&engine, "twin-7").unwrap().numbers;
    assert!(numbers.into_iter().eq((1..=MESSAGES).filter(|n| n % 64 == 7)));
    engine.stop().unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own measurement")]
fn law_s4_many_epochs_share_one_sync_where_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (builder, broker) = builder(2, Memory::replayable(1));
    let builder = builder.state_dir(dir.path()).commit(Commit::EverySecond);
    let engine = builder.start().unwrap();
    let begun = Instant::now();
    // The first is committed at once. Those after it are not, but each has an epoch of its own.
    for n in 0..200 {
        let processed = || engine.handle().statistics().processed_epoch;
        let before = processed();
        broker.send("seen", &format!("twin-{}", n % 7), step(n, Act::Count));
        assert!(eventually(|| processed() > before), "message {n} is processed");
    }
    let processing = begun.elapsed();
    let statistics = engine.handle().statistics();
    let waiting = statistics.open_epoch - statistics.committed_epoch;
    assert!(waiting > 8 || processing > Duration::from_millis(900), "only {waiting} wait");
    wait_acknowledged(&broker, 200);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let syncs = engine.handle().statistics().store.syncs;
    let seconds = begun.elapsed().as_secs() + 1;
    assert!(syncs <= 4 + 3 * seconds, "{syncs} syncs in {seconds} s for 200 epochs");
    drop(engine);
    let (engine, _) = start(dir.path(), 1, Memory::from(&broker));
    for twin in 0..7 {
        let expected = (0..200).filter(|n| n % 7 == twin);
        let numbers = seen(&engine, &format!("twin-{twin}")).unwrap().numbers;
        assert!(numbers.into_iter().eq(expected), "what was acknowledged is there");
    }
    engine.stop().unwrap();
}

#[test]
fn law_s5_paused_refused_and_silent_connections_hold_nothing_up() {
    let brokers: Vec<_> = (0..4).map(|_| Memory::acknowledged(20).broker()).collect();
    brokers[2].refuse(true);
    let mut builder = Engine::builder().workers(4).memory_store().model("seen", Watch);
    for (number, broker) in brokers.iter().enumerate() {
        builder = builder.connection(&format!("plant-{number}"), Memory::from(broker));
    }
    let engine = builder.start().unwrap();
    engine.handle().pause("plant-1");
    for n in 0..100 {
        brokers[0].send("seen", &format!("twin-{n}"), step(n, Act::Count));
        wait_acknowledged(&brokers[0], n + 1);
    }
    engine.stop().unwrap();
}

#[test]
fn law_s7_what_cannot_be_addressed_is_in_the_same_frame_as_its_position() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::replayable(1);
    let broker = memory.broker();
    for (twin, payload) in [("", "{}"), ("a", "no json"), ("b\n", "{}")] {
        broker.send("seen", twin, payload);
    }
    let (engine, _) = start(dir.path(), 2, memory);
    wait_acknowledged(&broker, 3);
    drop(engine);
    let (engine, _) = start(dir.path(), 1, Memory::from(&broker));
    broker.send("seen", "c", step(1, Act::Count));
    wait_acknowledged(&broker, 4);
    let letters = engine.handle().dead_letters().list(0, 10);
    let mut positions: Vec<_> = letters.iter().map(|letter| letter.position).collect();
    positions.sort();
    assert_eq!(positions, [Some(0), Some(1), Some(2)], "each once, though the engine was killed");
    engine.stop().unwrap();
}
