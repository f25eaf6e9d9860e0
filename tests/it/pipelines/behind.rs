//! Behind the twins: what leaves by the side, and windows.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use twinflow::{
    Engine, EngineBuilder, StoreChoice,
    connectors::{
        link::FeedbackId,
        memory::{Memory, MemoryBroker, MemoryMessage},
    },
    error::ErrorKind,
    operators::{
        dead_letter::DeadLetterKind,
        pipeline::{Window, WindowResult},
    },
    prelude::*,
    store::HeldStore,
};

use crate::common::{Act, PATIENCE, Seen, TestClock, Watch, builder, log, step, wait_acknowledged};

/// Tells the connection "alerts" of every last number that ends with 3, and dies of those with 7.
fn alerting(builder: EngineBuilder, alerts: Memory) -> EngineBuilder {
    builder.connection("alerts", alerts).dataflow(|feed| {
        let models = feed.models();
        feed.process(models)
            .changes::<Seen>("seen", |changes| {
                changes.send_to("alerts", |change| {
                    let last = change.is.as_ref()?.numbers.last().copied()?;
                    assert!(last % 10 != 7, "{last} is too much");
                    (last % 10 == 3).then_some(last)
                });
            })
            .settle()
    })
}

fn told(alerts: &MemoryBroker, count: usize) -> Vec<(String, String, FeedbackId)> {
    let mut all = Vec::new();
    let came = alerts.wait(PATIENCE, |alerts| {
        all.extend(alerts.feedback().into_iter().map(|it| {
            assert_eq!(it.model, "seen");
            (it.twin, String::from_utf8(it.payload).unwrap(), it.id)
        }));
        all.len() >= count
    });
    assert!(came, "only {} of {count} came", all.len());
    all
}

#[test]
fn what_is_sent_by_the_side_leaves_after_the_commit_once_and_with_an_id() {
    for workers in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(HeldStore::new(log(dir.path())));
        let (builder, broker) = builder(workers, Memory::acknowledged(50));
        let memory = Memory::acknowledged(50);
        let alerts = memory.broker();
        let builder = builder.store(StoreChoice::Custom(store.clone()));
        let engine = alerting(builder, memory).start().unwrap();
        store.hold();
        // One message for each, so that each is a change of its own.
        for n in 0..30 {
            broker.send("seen", &format!("twin-{n}"), step(n, Act::Count));
        }
        let early = alerts.wait(Duration::from_millis(500), |alerts| !alerts.feedback().is_empty());
        assert!(!early, "{workers} workers: it left before its commit");
        store.release();
        wait_acknowledged(&broker, 30);
        let came = told(&alerts, 3);
        let texts: BTreeSet<_> = came.iter().map(|(t, n, _)| (t.as_str(), n.as_str())).collect();
        assert_eq!(texts, [("twin-3", "3"), ("twin-13", "13"), ("twin-23", "23")].into());
        let letters = engine.handle().dead_letters().list(0, 10);
        assert_eq!(letters.len(), 3);
        assert!(letters.iter().all(|letter| {
            letter.kind == DeadLetterKind::Pipeline && letter.reason.contains("is too much")
        }));
        assert!(engine.stop().unwrap().left.is_empty());
    }
}

#[test]
fn law_d6_what_was_sent_by_the_side_and_not_confirmed_comes_again_with_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, alerts) = (Memory::replayable(1).broker(), Memory::acknowledged(50).broker());
    let start = |workers| {
        let (builder, _) = builder(workers, Memory::from(&broker));
        alerting(builder, Memory::from(&alerts)).state_dir(dir.path()).start().unwrap()
    };
    alerts.confirm_feedback(false);
    let engine = start(2);
    for n in [3, 13] {
        broker.send("seen", "a", step(n, Act::Reply));
        wait_acknowledged(&broker, n / 10 + 1);
    }
    let first = told(&alerts, 2);
    assert_ne!(first[0].2, first[1].2);
    drop(engine);
    alerts.confirm_feedback(true);
    let engine = start(1);
    assert_eq!(told(&alerts, 2), first, "the same ids, and the states at the start are no news");
    assert!(engine.stop().unwrap().left.is_empty());
}

#[test]
fn a_connection_that_is_not_there_stops_the_start() {
    let builder = Engine::builder().workers(1).memory_store().model("seen", Watch);
    let error = builder
        .dataflow(|feed| {
            let models = feed.models();
            feed.process(models)
                .changes::<Seen>("seen", |changes| changes.send_to("alert", |_| Some(1)))
                .settle()
        })
        .start()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.report().contains("no connection \"alert\" to send to"), "{}", error.report());
}

type Results = Arc<Mutex<Vec<WindowResult>>>;

fn windowed(builder: EngineBuilder, window: Window, each: &Results, all: &Results) -> Engine {
    let (each, all) = (Arc::clone(each), Arc::clone(all));
    builder
        .dataflow(move |feed| {
            let (models, each, all) = (feed.models(), Arc::clone(&each), Arc::clone(&all));
            feed.process(models)
                .changes::<Seen>("seen", |changes| {
                    let last = |change: &Change<Seen>| {
                        change.is.as_ref()?.numbers.last().map(|number| *number as f64)
                    };
                    let note =
                        |to: Results| move |it: &WindowResult| to.lock().unwrap().push(it.clone());
                    changes.window(window, last).for_each(note(each));
                    changes.window_all(window, last).for_each(note(all));
                })
                .settle()
        })
        .start()
        .unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn windows_by_the_time_of_epochs_count_every_change_once_for_each_twin_and_for_all() {
    for workers in [1, 2] {
        let clock = TestClock::at(60_000);
        let (builder, broker) = builder(workers, Memory::replayable(2));
        let (each, all) = (Results::default(), Results::default());
        let window = Window::by_epoch_time(MINUTE);
        let engine = windowed(builder.clock(clock.clock()), window, &each, &all);
        // Ten a minute for each of four twins, then a last minute that ends the others.
        for minute in 0..5u64 {
            clock.set(60_000 + minute * 60 + 30);
            for n in 0..40 {
                broker.send("seen", &format!("twin-{}", n % 4), step(n, Act::Count));
                wait_acknowledged(&broker, minute * 40 + n + 1);
            }
        }
        engine.stop().unwrap();
        let (each, all) = (each.lock().unwrap(), all.lock().unwrap());
        let counts: Vec<_> = all.iter().map(|it| (it.start.0 / 60_000_000, it.count)).collect();
        assert_eq!(counts, [(1000, 40), (1001, 40), (1002, 40), (1003, 40)], "{workers} workers");
        assert_eq!(all[1].sum, (0..40).sum::<u64>() as f64);
        assert_eq!((all[1].min, all[1].max, all[1].twin.as_deref()), (0.0, 39.0, None));
        assert_eq!(each.len(), 16);
        assert!(each.iter().all(|it| it.count == 10 && it.twin.is_some()));
        assert!(each.iter().filter(|it| it.start.0 > 60_000 * 1_000_000).all(|it| it.whole));
    }
}

#[test]
fn windows_by_the_time_of_the_source_leave_out_what_is_late_and_count_it() {
    let (builder, broker) = builder(1, Memory::acknowledged(50));
    let (each, all) = (Results::default(), Results::default());
    let window = Window::by_source_time(MINUTE, Duration::from_secs(10));
    let engine = windowed(builder, window, &each, &all);
    // 65 s is within the lateness and ends nothing, 71 s ends the first minute; then 59 s is late.
    for (n, secs) in [5u64, 58, 65, 59, 71, 59, 200].into_iter().enumerate() {
        let message = MemoryMessage::new("seen", "a", step(n as u64, Act::Count));
        let source_time = Some(Timestamp(secs * 1_000_000));
        broker.send_with(MemoryMessage { source_time, ..message });
        wait_acknowledged(&broker, n as u64 + 1);
    }
    broker.send("seen", "a", step(9, Act::Count));
    wait_acknowledged(&broker, 8);
    let late = engine.handle().statistics().pipeline_late;
    engine.stop().unwrap();
    let each = each.lock().unwrap();
    let ends: Vec<_> = each.iter().map(|it| (it.start.0 / 1_000_000, it.count)).collect();
    assert_eq!(ends, [(0, 3), (60, 2)]);
    assert_eq!(late, 4, "one late and one without a time, in the windows of each twin and of all");
}
