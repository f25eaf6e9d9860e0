//! Law D12: how much is kept of dead letters, and what happens beyond it.

use std::path::Path;

use twinflow::{
    ConnectionState, Engine,
    connectors::{
        ConnectorInfo,
        memory::{Memory, MemoryBroker},
    },
    operators::{ModelSettings, dead_letter::DeadLetterKind},
};

use crate::common::{Act, TestClock, Watch, eventually, seen, step, wait_acknowledged};

const KEEP_SECS: u64 = 3600;

/// Models "seen", for whose dead letters there is room for so many bytes, and "other".
fn start(dir: &Path, clock: &TestClock, bytes_max: u64, brokers: [&MemoryBroker; 2]) -> Engine {
    let settings = ModelSettings {
        dead_letters_bytes_max: bytes_max,
        dead_letters_keep_secs: KEEP_SECS,
        ..ModelSettings::default()
    };
    let info = ConnectorInfo { feedback_expiry_secs: Some(30), ..ConnectorInfo::default() };
    let [plant, quiet] = brokers.map(|broker| Memory::from(broker).with_info(info));
    Engine::builder()
        .workers(2)
        .state_dir(dir)
        .clock(clock.clock())
        .model_with("seen", Watch, settings)
        .model("other", Watch)
        .connection("plant", plant)
        .connection("quiet", quiet)
        .start()
        .unwrap()
}

fn fail(broker: &MemoryBroker, count: u64) {
    (0..count).for_each(|n| broker.send("seen", "a", step(n, Act::Fail)));
}

fn state_of(engine: &Engine, name: &str) -> (ConnectionState, Option<String>) {
    let status = engine.handle().connections().into_iter().find(|status| status.name == name);
    status.map(|status| (status.state, status.error)).unwrap()
}

fn is(engine: &Engine, name: &str, state: ConnectionState) -> bool {
    eventually(|| state_of(engine, name).0 == state)
}

fn drop_one(engine: &Engine) {
    let handle = engine.handle();
    let oldest = handle.dead_letters().list(0, 1)[0].number;
    assert!(engine.runtime().block_on(handle.drop_dead_letter(oldest)).unwrap().is_some());
}

#[test]
fn law_d12_full_rests_what_brought_it_over_a_restart_until_a_person_drops_some() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), TestClock::at(1000));
    let [plant, quiet] = [Memory::replayable(1).broker(), Memory::acknowledged(20).broker()];
    let engine = start(dir.path(), &clock, 2000, [&plant, &quiet]);
    fail(&plant, 4);
    wait_acknowledged(&plant, 4);
    assert_eq!(engine.handle().not_ready(), [""; 0]);
    fail(&plant, 4);
    assert!(is(&engine, "plant", ConnectionState::Paused));
    let (_, why) = state_of(&engine, "plant");
    assert!(why.unwrap().contains("its dead letters take all of 2000 bytes"));
    let reasons = engine.handle().not_ready();
    assert!(reasons[0].starts_with("model \"seen\": its dead letters take all of"), "{reasons:?}");
    let of_seen = |engine: &Engine| {
        let models = engine.handle().statistics().models;
        models.into_iter().find(|model| model.name == "seen").unwrap()
    };
    assert!(of_seen(&engine).dead_letters_full && of_seen(&engine).dead_letter_bytes >= 2000);

    // What brought none goes on, for other models and for this one.
    quiet.send("other", "a", step(1, Act::Count));
    quiet.send("seen", "b", step(1, Act::Count));
    wait_acknowledged(&quiet, 2);
    // A message that was not taken waits at its source.
    plant.send("seen", "a", step(9, Act::Count));
    assert!(engine.handle().resume("plant"), "a person cannot make room by this");
    engine.stop().unwrap();

    let engine = start(dir.path(), &clock, 2000, [&plant, &quiet]);
    assert!(is(&engine, "plant", ConnectionState::Paused));
    let kept = engine.handle().dead_letters().len();
    // A tenth has to be free.
    while of_seen(&engine).dead_letter_bytes >= 1800 {
        drop_one(&engine);
    }
    assert!(engine.handle().dead_letters().len() < kept);
    assert!(is(&engine, "plant", ConnectionState::Running));
    assert!(eventually(|| seen(&engine, "a").is_some_and(|twin| twin.numbers == [9])));
    assert_eq!(engine.handle().not_ready(), [""; 0]);
    engine.stop().unwrap();
}

#[test]
fn law_d12_a_person_s_pause_outlives_the_engine_s() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), TestClock::at(1000));
    let [plant, quiet] = [Memory::acknowledged(20).broker(), Memory::acknowledged(20).broker()];
    let engine = start(dir.path(), &clock, 1, [&plant, &quiet]);
    fail(&plant, 1);
    assert!(is(&engine, "plant", ConnectionState::Paused));
    assert!(engine.handle().pause("plant"));
    drop_one(&engine);
    assert!(eventually(|| engine.handle().not_ready().is_empty()));
    assert_eq!(state_of(&engine, "plant"), (ConnectionState::Paused, None));
    assert!(engine.handle().resume("plant"));
    assert!(is(&engine, "plant", ConnectionState::Running));
    engine.stop().unwrap();
}

#[test]
fn law_d12_what_is_older_than_it_is_kept_goes_by_itself_and_makes_room() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), TestClock::at(1000));
    let [plant, quiet] = [Memory::acknowledged(20).broker(), Memory::acknowledged(20).broker()];
    let engine = start(dir.path(), &clock, 1, [&plant, &quiet]);
    fail(&plant, 1);
    assert!(is(&engine, "plant", ConnectionState::Paused));
    clock.set(1000 + KEEP_SECS);
    plant.send("seen", "a", step(1, Act::Count));
    assert!(is(&engine, "plant", ConnectionState::Running));
    wait_acknowledged(&plant, 2);
    let statistics = engine.handle().statistics();
    assert_eq!((statistics.dead_letters, statistics.dead_letters_expired), (0, 1));
    engine.stop().unwrap();
    let engine = start(dir.path(), &clock, 1, [&plant, &quiet]);
    assert!(engine.handle().dead_letters().is_empty(), "it is gone from the disk, too");
    engine.stop().unwrap();
}

#[test]
fn law_d12_law_d6_feedback_beyond_the_bound_goes_and_stops_no_intake() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), TestClock::at(1000));
    let [plant, quiet] = [Memory::acknowledged(20).broker(), Memory::acknowledged(20).broker()];
    plant.confirm_feedback(false);
    let engine = start(dir.path(), &clock, 1000, [&plant, &quiet]);
    for n in 0..20 {
        plant.send("seen", &format!("t{n}"), step(n, Act::Reply));
    }
    wait_acknowledged(&plant, 20);
    clock.set(1030);
    let statistics = || engine.handle().statistics();
    assert!(eventually(|| statistics().dead_letters_expired > 0));
    let bytes = || statistics().models.iter().map(|model| model.dead_letter_bytes).sum::<u64>();
    assert!(eventually(|| bytes() <= 1000));
    let left = engine.handle().dead_letters().list(0, 100);
    assert!(!left.is_empty() && left.iter().all(|it| it.kind == DeadLetterKind::Feedback));
    assert_eq!(state_of(&engine, "plant").0, ConnectionState::Running);
    plant.send("seen", "a", step(1, Act::Count));
    wait_acknowledged(&plant, 21);
    engine.stop().unwrap();
}
