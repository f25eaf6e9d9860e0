//! Laws P: calls, retries, time, feedback, rollback.

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use twinflow::{
    Engine,
    connectors::memory::Memory,
    operators::{ModelSettings, OnFailure, dead_letter::DeadLetterKind},
    prelude::*,
};

use crate::common::{
    Act, Doing, PATIENCE, Seen, Step, TestClock, Watch, seen, step, wait_acknowledged,
};

/// An engine without a log, with one model that does as it is told.
fn with_model<P: MessageProcessor>(
    processor: P,
    settings: ModelSettings,
) -> (Engine, twinflow::connectors::memory::MemoryBroker) {
    let memory = Memory::acknowledged(20);
    let broker = memory.broker();
    let builder = Engine::builder().workers(1).memory_store();
    let builder = builder.model_with("seen", processor, settings).connection("plant", memory);
    (builder.start().unwrap(), broker)
}

#[test]
fn law_p1_what_a_failed_call_sent_is_never_sent() {
    let (engine, broker) = with_model(
        Doing(|cx: &mut ProcessingContext<'_>, twin: &mut Seen, steps: &[Step]| {
            for step in steps {
                twin.numbers.push(step.n);
                cx.send_to_data_source(&step.n)?;
                assert!(step.n != 2, "told to");
            }
            Ok(Outcome::Update)
        }),
        ModelSettings::default(),
    );
    broker.send_all((1..=3).map(|n| {
        twinflow::connectors::memory::MemoryMessage::new("seen", "a", step(n, Act::Count))
    }));
    wait_acknowledged(&broker, 3);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1, 3]);
    engine.stop().unwrap();
    let sent: Vec<_> = broker.feedback().into_iter().map(|feedback| feedback.payload).collect();
    assert_eq!(sent, [b"1", b"3"]);
}

#[test]
fn law_p5_a_call_is_retried_at_once_and_only_when_it_asks_for_it() {
    for (asks, calls, applied) in [(true, 3, true), (true, 4, false), (false, 2, false)] {
        let made = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&made);
        let processor = Doing(move |_: &mut ProcessingContext<'_>, twin: &mut Seen, _: &[Step]| {
            let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
            twin.numbers.push(call);
            match (call >= calls, asks) {
                (true, _) => Ok(Outcome::Update),
                (false, true) => Err(ProcessingError::retryable("not yet")),
                (false, false) => Err(ProcessingError::message("never")),
            }
        });
        let settings = ModelSettings { retries_max: 2, ..ModelSettings::default() };
        let (engine, broker) = with_model(processor, settings);
        broker.send("seen", "a", step(1, Act::Count));
        wait_acknowledged(&broker, 1);
        let attempts = if asks { 3 } else { 1 };
        assert_eq!(made.load(Ordering::SeqCst), attempts);
        let letters = engine.handle().dead_letters().list(0, 10);
        if applied {
            assert_eq!(seen(&engine, "a").unwrap().numbers, [3], "earlier tries left nothing");
            assert!(letters.is_empty());
        } else {
            assert_eq!(seen(&engine, "a"), None);
            assert_eq!(letters[0].attempts, attempts as u32);
        }
        engine.stop().unwrap();
    }
}

#[test]
fn law_p5_a_skipped_failure_is_counted_and_forgotten() {
    let settings = ModelSettings { on_failure: OnFailure::Skip, ..ModelSettings::default() };
    let (engine, broker) = with_model(Watch, settings);
    for (n, act) in [(1, Act::Count), (2, Act::Fail), (3, Act::Count)] {
        broker.send("seen", "a", step(n, act));
    }
    wait_acknowledged(&broker, 3);
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1, 3]);
    assert!(engine.handle().dead_letters().is_empty());
    assert_eq!(engine.handle().statistics().models[0].failed, 1);
    engine.stop().unwrap();
}

const HALTS: &str = "TWINFLOW_TEST_HALTS";

#[test]
fn law_p5_halt_ends_the_process_with_65_and_its_epoch_never_counts() {
    // The process that ends is this very test, started once more with a directory in hand.
    if let Some(dir) = std::env::var_os(HALTS) {
        let settings = ModelSettings { on_failure: OnFailure::Halt, ..ModelSettings::default() };
        let memory = Memory::replayable(1);
        let broker = memory.broker();
        let builder = Engine::builder().workers(2).state_dir(dir).connection("plant", memory);
        let _engine = builder.model_with("seen", Watch, settings).start().unwrap();
        broker.send("seen", "a", step(1, Act::Count));
        wait_acknowledged(&broker, 1);
        broker.send("seen", "a", step(2, Act::Fail));
        wait_acknowledged(&broker, 2);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "laws::processing::law_p5_halt_ends_the_process_with_65_and_its_epoch_never_counts";
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", name]).env(HALTS, dir.path());
    assert_eq!(again.output().unwrap().status.code(), Some(65));
    let (engine, _) = crate::common::start(dir.path(), 1, Memory::replayable(1));
    assert_eq!(seen(&engine, "a").unwrap().numbers, [1]);
    assert!(engine.handle().dead_letters().is_empty());
}

#[test]
fn law_p6_time_never_goes_back_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, memory) = (TestClock::at(1000), Memory::acknowledged(20));
    let broker = memory.broker();
    let met = Arc::new(Mutex::new(Vec::new()));
    let run = |workers: usize, times: &[u64]| {
        let met = Arc::clone(&met);
        // An epoch that changes no twin has a time all the same.
        let note = move |cx: &mut ProcessingContext<'_>, _: &mut Seen, steps: &[Step]| {
            met.lock().unwrap().push(cx.now().as_millis() / 1000);
            let same = steps.iter().all(|step| step.n % 2 == 1);
            Ok(if same { Outcome::NoUpdate } else { Outcome::Update })
        };
        let builder = Engine::builder().workers(workers).state_dir(dir.path());
        let builder = builder.clock(clock.clock()).model("seen", Doing(note));
        let engine = builder.connection("plant", Memory::from(&broker)).start().unwrap();
        for time in times {
            clock.set(*time);
            broker.send("seen", "a", step(*time, Act::Count));
            let sent = broker.acknowledged() + 1;
            wait_acknowledged(&broker, sent);
        }
        drop(engine);
    };
    run(2, &[1000, 1010, 1005, 1013]);
    run(3, &[900, 1020]);
    assert_eq!(*met.lock().unwrap(), [1000, 1010, 1010, 1013, 1013, 1020]);
}

#[test]
fn law_p7_feedback_of_a_twin_without_a_data_source_is_a_dead_letter_and_the_change_stands() {
    #[derive(Clone, Copy)]
    struct Greets;
    impl MessageProcessor for Greets {
        type Model = Seen;
        fn initialize(
            &self,
            cx: &mut ProcessingContext<'_>,
            twin: &mut Seen,
        ) -> Result<(), ProcessingError> {
            twin.initialized += 1;
            cx.send_to_data_source("hello")
        }
        fn process_messages(
            &self,
            _cx: &mut ProcessingContext<'_>,
            _twin: &mut Seen,
            _steps: Messages<'_, Step>,
        ) -> ProcessingResult {
            Ok(Outcome::Update)
        }
    }
    let (engine, broker) = with_model(Greets, ModelSettings::default());
    let created = engine.runtime().block_on(engine.handle().create("seen", "a")).unwrap();
    assert!(created && seen(&engine, "a").unwrap().initialized == 1);
    let letters = engine.handle().dead_letters().list(0, 10);
    assert_eq!((letters.len(), letters[0].kind), (1, DeadLetterKind::Feedback));
    engine.stop().unwrap();
    assert!(broker.feedback().is_empty());
}

#[test]
fn law_p7_a_call_that_removes_its_twin_still_sends_its_feedback() {
    let (engine, broker) = with_model(
        Doing(|cx: &mut ProcessingContext<'_>, _: &mut Seen, _: &[Step]| {
            cx.send_to_data_source("bye")?;
            Ok(Outcome::Remove)
        }),
        ModelSettings::default(),
    );
    broker.send("seen", "a", step(1, Act::Count));
    let mut sent = Vec::new();
    assert!(broker.wait(PATIENCE, |broker| {
        sent.extend(broker.feedback());
        !sent.is_empty()
    }));
    assert_eq!((sent[0].payload.as_slice(), seen(&engine, "a")), (&b"\"bye\""[..], None));
    engine.stop().unwrap();
}

/// As [`Watch`], with its last encoded form kept.
struct KeepsEncoded;

impl MessageProcessor for KeepsEncoded {
    type Model = Seen;
    const ROLLBACK: Rollback = Rollback::LastEncoded;
    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Seen,
        steps: Messages<'_, Step>,
    ) -> ProcessingResult {
        Watch.process_messages(cx, twin, steps)
    }
}

#[test]
fn law_p8_both_rollbacks_leave_a_twin_as_it_was_also_after_a_restart() {
    fn leaves<P: MessageProcessor>(make: impl Fn() -> P) {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::acknowledged(20);
        let broker = memory.broker();
        let start = || {
            let builder = Engine::builder().workers(1).state_dir(dir.path());
            let builder = builder.model("seen", make());
            builder.connection("plant", Memory::from(&broker)).start().unwrap()
        };
        for round in 0..2 {
            let engine = start();
            for (n, act) in [Act::Count, Act::Fail, Act::Panic, Act::NoUpdate].iter().enumerate() {
                broker.send("seen", "a", step(n as u64, *act));
                wait_acknowledged(&broker, round * 4 + n as u64 + 1);
            }
            let twin = seen(&engine, "a").unwrap();
            assert_eq!(twin.numbers, vec![0; round as usize + 1]);
            assert_eq!(twin.calls, round + 1, "a call that failed left nothing at all");
            drop(engine);
        }
    }
    leaves(|| Watch);
    leaves(|| KeepsEncoded);
}
