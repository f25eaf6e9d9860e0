//! With a pipeline everything holds that holds without one.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use twinflow::{
    Engine, EngineBuilder, StoreChoice,
    connectors::{
        ConnectorInfo,
        memory::{Memory, MemoryBroker, MemoryMessage},
    },
    prelude::*,
    store::HeldStore,
};

use crate::common::{Act, Step, TestClock, Watch, builder, log, seen, step, wait_acknowledged};

/// Drops every fifth, makes two of every seventh, sends every third elsewhere.
fn mixed(builder: EngineBuilder) -> EngineBuilder {
    builder.dataflow(|feed| {
        let models = feed.models();
        feed.filter(|message| message.deserialize::<Step>().unwrap().n % 5 != 0)
            .flat_map(|message, out| {
                let step: Step = message.deserialize()?;
                out.pass()?;
                if step.n.is_multiple_of(7) {
                    out.emit(&Step { n: step.n + 1_000_000, act: Act::Count })?;
                }
                Ok(())
            })
            .route(|message| {
                let step: Step = message.deserialize()?;
                let elsewhere = step.n.is_multiple_of(3);
                Ok(if elsewhere { Route::twin("elsewhere") } else { Route::Same })
            })
            .process(models)
            .settle()
    })
}

/// The same in a loop without an engine: what each twin must have seen, in any order.
fn oracle(count: u64) -> BTreeMap<String, Vec<u64>> {
    let mut twins: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for n in (0..count).filter(|n| n % 5 != 0) {
        let made = [Some(n), n.is_multiple_of(7).then_some(n + 1_000_000)];
        for n in made.into_iter().flatten() {
            let own = format!("twin-{}", n % 1_000_000 % 10);
            let twin = if n.is_multiple_of(3) { "elsewhere".to_owned() } else { own };
            twins.entry(twin).or_default().push(n);
        }
    }
    twins.values_mut().for_each(|numbers| numbers.sort_unstable());
    twins
}

fn in_state(engine: &Engine, oracle: &BTreeMap<String, Vec<u64>>) -> BTreeMap<String, Vec<u64>> {
    let numbers = |twin: &String| {
        let mut numbers = seen(engine, twin).unwrap_or_default().numbers;
        numbers.sort_unstable();
        numbers
    };
    oracle.keys().map(|twin| (twin.clone(), numbers(twin))).collect()
}

#[test]
fn every_message_of_a_log_goes_through_once_however_often_the_engine_dies() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::replayable(3);
    let broker = memory.broker();
    let rounds = 8u64;
    for round in 0..rounds {
        for n in round * 500..(round + 1) * 500 {
            let twin = format!("twin-{}", n % 10);
            broker.send("seen", &twin, step(n, Act::Count));
        }
        let (builder, broker) = builder(1 + round as usize % 2, Memory::from(&broker));
        let engine = mixed(builder).state_dir(dir.path()).start().unwrap();
        let last = round + 1 == rounds;
        // It dies somewhere in the middle of what is on its way, not at its end.
        wait_acknowledged(&broker, if last { rounds * 500 } else { round * 500 + 100 });
        if last {
            let oracle = oracle(rounds * 500);
            assert_eq!(in_state(&engine, &oracle), oracle);
        }
        drop(engine);
    }
}

#[test]
fn law_d1_while_the_store_is_held_nothing_is_acknowledged_not_even_what_was_dropped() {
    for workers in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(HeldStore::new(log(dir.path())));
        let (builder, broker) = builder(workers, Memory::acknowledged(50));
        let builder = builder.store(StoreChoice::Custom(store.clone()));
        let engine = mixed(builder).start().unwrap();
        broker.send("seen", "before", step(1, Act::Count));
        wait_acknowledged(&broker, 1);
        store.hold();
        // In one epoch or several: those that are kept hold those up that came later.
        for n in 1..=20 {
            broker.send("seen", "a", step(n, Act::Count));
        }
        let moved = broker.wait(Duration::from_millis(700), |broker| broker.acknowledged() > 1);
        assert!(!moved, "{workers} workers: something was acknowledged before its commit");
        store.release();
        wait_acknowledged(&broker, 21);
        engine.stop().unwrap();
    }
}

const KEEP_SECS: u64 = 60;

fn dedupes(dir: &Path, broker: &MemoryBroker, calls: &Arc<AtomicU64>) -> Engine {
    let info = ConnectorInfo { dedupe_keep_secs: Some(KEEP_SECS), ..ConnectorInfo::default() };
    let memory = Memory::from(broker).with_info(info);
    let builder = Engine::builder().workers(2).state_dir(dir).clock(TestClock::at(1000).clock());
    let calls = Arc::clone(calls);
    builder
        .model("seen", Watch)
        .connection("plant", memory)
        .dataflow(move |feed| {
            let (models, calls) = (feed.models(), Arc::clone(&calls));
            feed.flat_map(move |message, out| {
                let step: Step = message.deserialize()?;
                // Something else each time, as what an enrichment adds may be.
                let call = calls.fetch_add(1, Ordering::SeqCst) * 1000;
                out.emit(&Step { n: step.n + call, act: step.act })?;
                out.emit(&Step { n: step.n + call + 1, act: step.act })?;
                out.emit_to(&Route::twin("b"), &step)
            })
            .process(models)
            .settle()
        })
        .start()
        .unwrap()
}

#[test]
fn law_d5_what_is_made_of_a_message_with_an_id_applies_once_however_often_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, calls) = (Memory::acknowledged(20).broker(), Arc::default());
    let message = |n| {
        let id = Some(b"k".to_vec());
        MemoryMessage { id, ..MemoryMessage::new("seen", "a", step(n, Act::Count)) }
    };
    let engine = dedupes(dir.path(), &broker, &calls);
    for count in 1..=3 {
        broker.send_with(message(1));
        wait_acknowledged(&broker, count);
    }
    drop(engine);
    let engine = dedupes(dir.path(), &broker, &calls);
    broker.send_with(message(1));
    wait_acknowledged(&broker, 4);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1, 2]);
    assert_eq!(seen(&engine, "b").unwrap().numbers, [1]);
    assert!(engine.handle().dead_letters().is_empty());
    // The same id with another body is another message, and is not lost without a word.
    broker.send_with(message(5));
    wait_acknowledged(&broker, 5);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1, 2]);
    assert_eq!(engine.handle().dead_letters().len(), 3);
    engine.stop().unwrap();
}
