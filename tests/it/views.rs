//! Live views: right at every epoch that they show, rebuilt at a start, and in nobody's way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use twinflow::{
    Engine, EngineBuilder, StoreChoice, View, ViewState, connectors::memory::Memory,
    error::ErrorKind, store::HeldStore,
};

use crate::common::{Act, Seen, Watch, builder, eventually, log, step, wait_acknowledged};

fn group(id: &str, _: &Seen) -> Option<String> {
    // Those without a dash are in no group.
    Some(id.split_once('-')?.0.to_owned())
}

fn last(_: &str, twin: &Seen) -> f64 {
    twin.numbers.last().copied().unwrap_or_default() as f64 / 10.0
}

fn viewed(builder: EngineBuilder) -> EngineBuilder {
    builder
        .view(View::count("counts", "seen", group))
        .view(View::sum("sums", "seen", group, last))
        .view(View::average("means", "seen", group, last))
}

/// Waits until the view has all of the epoch that a read gives.
fn view(engine: &Engine, name: &str) -> ViewState {
    let handle = engine.handle();
    engine.twin::<Seen>("seen", "nobody").unwrap();
    let read = handle.statistics().committed_epoch - 1;
    let mut state = None;
    assert!(eventually(|| {
        state = handle.view(name).filter(|state| state.epoch >= read);
        state.is_some()
    }));
    state.unwrap()
}

/// Count and sum of each group of the newest numbers.
fn sums(newest: &BTreeMap<String, u64>) -> Vec<(String, u64, f64)> {
    let mut groups: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (id, number) in newest {
        let Some((group, _)) = id.split_once('-') else { continue };
        let of = groups.entry(group).or_default();
        *of = (of.0 + 1, of.1 + number);
    }
    groups.into_iter().map(|(group, (n, sum))| (group.to_owned(), n, sum as f64 / 10.0)).collect()
}

fn check(engine: &Engine, newest: &BTreeMap<String, u64>) {
    let expected = sums(newest);
    let counts: Vec<_> = view(engine, "counts").groups;
    let counts: Vec<_> = counts.iter().map(|it| (it.group.clone(), it.count, it.sum)).collect();
    let of = |(group, count, _): &(String, u64, f64)| (group.clone(), *count, None);
    assert_eq!(counts, expected.iter().map(of).collect::<Vec<_>>());
    for name in ["sums", "means"] {
        let state = view(engine, name);
        assert_eq!((state.model.as_str(), state.left_out), ("seen", 0));
        assert_eq!(state.groups.len(), expected.len());
        for (is, (group, count, sum)) in state.groups.iter().zip(&expected) {
            assert_eq!((&is.group, is.count), (group, *count));
            assert!((is.sum.unwrap() - sum).abs() < 1e-9, "{is:?} should be {sum}");
            let mean = is.average.map(|mean| (mean - sum / *count as f64).abs() < 1e-9);
            assert_eq!(mean, (name == "means").then_some(true));
        }
    }
}

#[test]
fn counts_sums_and_means_are_those_of_a_loop_and_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Memory::replayable(2).broker();
    let mut newest = BTreeMap::new();
    let mut sent = 0;
    for (round, workers) in [1, 2, 3].into_iter().enumerate() {
        let (builder, broker) = builder(workers, Memory::from(&broker));
        let engine = viewed(builder).state_dir(dir.path()).start().unwrap();
        // What was there at the start is in it, before anything comes.
        check(&engine, &newest);
        for n in 0..400u64 {
            let n = round as u64 * 1000 + n;
            let site = ["north", "south", "east"][n as usize * 7 % 3];
            let id = match n % 50 {
                0 => "alone".to_owned(),
                twin => format!("{site}-{twin}"),
            };
            let act = if n.is_multiple_of(9) { Act::Remove } else { Act::Count };
            broker.send("seen", &id, step(n, act));
            match act {
                Act::Remove => newest.remove(&id),
                _ => newest.insert(id, n),
            };
            sent += 1;
            if n.is_multiple_of(100) {
                wait_acknowledged(&broker, sent);
                check(&engine, &newest);
            }
        }
        wait_acknowledged(&broker, sent);
        check(&engine, &newest);
        if round == 1 { drop(engine.stop().unwrap()) } else { drop(engine) }
    }
}

#[test]
fn a_view_shows_nothing_that_is_not_committed() {
    for workers in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(HeldStore::new(log(dir.path())));
        let (builder, broker) = builder(workers, Memory::acknowledged(50));
        let engine = viewed(builder.store(StoreChoice::Custom(store.clone()))).start().unwrap();
        broker.send("seen", "north-1", step(1, Act::Count));
        wait_acknowledged(&broker, 1);
        assert_eq!(view(&engine, "counts").groups[0].count, 1);
        store.hold();
        for n in 2..20 {
            broker.send("seen", &format!("north-{n}"), step(n, Act::Count));
        }
        let seen = |id: &str| {
            let handle = engine.handle();
            engine.runtime().block_on(async move { handle.peek("seen", id).await }).unwrap()
        };
        assert!(eventually(|| seen("north-2").is_some()), "it is processed");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(engine.handle().view("counts").unwrap().groups[0].count, 1);
        store.release();
        wait_acknowledged(&broker, 19);
        assert_eq!(view(&engine, "counts").groups[0].count, 19);
        engine.stop().unwrap();
    }
}

/// 50 ms for each of 400 twins are 20 s; the upstream is told long before.
#[test]
fn a_slow_view_delays_no_acknowledgement_and_no_stop_and_catches_up_with_the_newest() {
    let pause = Duration::from_millis(50);
    let slow = move |id: &str, twin: &Seen| {
        std::thread::sleep(pause);
        group(id, twin)
    };
    let (builder, broker) = builder(2, Memory::acknowledged(400));
    let builder = builder.view(View::sum("slow", "seen", slow, last));
    let engine = builder.view(View::count("quick", "seen", group)).start().unwrap();
    // The same twin over and over is one change for the view, whenever it gets to it.
    for n in 0..2000 {
        broker.send("seen", "north-1", step(n, Act::Count));
    }
    wait_acknowledged(&broker, 2000);
    let done = |view: &ViewState| view.groups.first().and_then(|it| it.sum) == Some(199.9);
    let caught_up = || engine.handle().view("slow").is_some_and(|view| done(&view));
    assert!(eventually(caught_up), "2,000 times 50 ms are 100 s");

    for n in 0..400 {
        broker.send("seen", &format!("south-{n}"), step(n, Act::Count));
    }
    let told = broker.wait(Duration::from_secs(10), |broker| broker.acknowledged() >= 2400);
    assert!(told, "the upstream waited for a view: {}", broker.acknowledged());
    assert_eq!(view(&engine, "quick").groups[1].count, 400, "nor does another view wait for it");
    let slow = engine.handle().view("slow").unwrap();
    let committed = engine.handle().statistics().committed_epoch;
    assert!(slow.epoch + 1 < committed, "it says how old it is: {} of {committed}", slow.epoch);
    let (told, stopped) = std::sync::mpsc::sync_channel(1);
    let stopping = std::thread::spawn(move || {
        engine.stop().unwrap();
        told.send(()).unwrap();
    });
    assert!(stopped.recv_timeout(Duration::from_secs(10)).is_ok(), "a stop waits for no view");
    stopping.join().unwrap();
}

#[test]
fn a_twin_on_which_the_views_code_fails_is_left_out_and_counted() {
    let (builder, broker) = builder(1, Memory::acknowledged(50));
    let value = |_: &str, twin: &Seen| match twin.numbers.last() {
        Some(13) => panic!("no thirteen"),
        Some(14) => f64::NAN,
        number => number.copied().unwrap_or_default() as f64,
    };
    let engine = builder.view(View::sum("sums", "seen", group, value)).start().unwrap();
    for (n, twin) in [(1, "a-1"), (2, "a-2"), (13, "a-2"), (14, "a-3")] {
        broker.send("seen", twin, step(n, Act::Count));
    }
    wait_acknowledged(&broker, 4);
    let state = view(&engine, "sums");
    assert_eq!((state.left_out, state.groups[0].count, state.groups[0].sum), (2, 1, Some(1.0)));
    broker.send("seen", "a-2", step(3, Act::Count));
    wait_acknowledged(&broker, 5);
    let state = view(&engine, "sums");
    assert_eq!((state.left_out, state.groups[0].count, state.groups[0].sum), (1, 2, Some(4.0)));
    engine.stop().unwrap();
}

#[test]
fn a_name_given_twice_and_a_model_that_is_not_there_stop_the_start() {
    let engine = || Engine::builder().workers(1).memory_store().model("seen", Watch);
    let twice =
        engine().view(View::count("v", "seen", group)).view(View::count("v", "seen", group));
    let nobody = engine().view(View::count("v", "sene", group));
    for (builder, why) in [(twice, "\"v\" is given twice"), (nobody, "no such model")] {
        let error = builder.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.report().contains(why), "{}", error.report());
    }
}
