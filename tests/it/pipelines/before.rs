//! Operators before the twins.

use std::collections::BTreeMap;

use twinflow::{
    EngineBuilder,
    connectors::memory::{Memory, MemoryMessage},
    operators::dead_letter::DeadLetterKind,
    prelude::*,
};

use crate::common::{Act, Step, builder, seen, step, wait_acknowledged};

/// Both numbers of workers, both kinds of upstream.
fn shapes() -> impl Iterator<Item = (usize, Memory)> {
    [1, 2]
        .into_iter()
        .flat_map(|workers| [(workers, Memory::replayable(2)), (workers, Memory::acknowledged(50))])
}

fn through(
    builder: EngineBuilder,
    with: impl Fn(&Inbound<'_>, &mut Out<'_>) -> Result<(), ProcessingError>
    + Clone
    + Send
    + Sync
    + 'static,
) -> twinflow::Engine {
    let build = builder.dataflow(move |feed| {
        let models = feed.models();
        feed.flat_map(with.clone()).process(models).settle()
    });
    build.start().unwrap()
}

#[test]
fn what_a_filter_drops_is_acknowledged_and_counted() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = builder
            .dataflow(|feed| {
                let models = feed.models();
                let keep = |message: &Inbound<'_>| {
                    message.deserialize::<Step>().unwrap().n.is_multiple_of(3)
                };
                feed.filter(keep).process(models).settle()
            })
            .start()
            .unwrap();
        for n in 0..300 {
            broker.send("seen", &format!("twin-{}", n % 7), step(n, Act::Count));
        }
        wait_acknowledged(&broker, 300);
        for twin in 0..7u64 {
            let kept = (0..300).filter(|n| n % 7 == twin && n % 3 == 0);
            assert!(seen(&engine, &format!("twin-{twin}")).unwrap().numbers.into_iter().eq(kept));
        }
        assert_eq!(engine.handle().statistics().pipeline_dropped, 200, "{workers} workers");
        engine.stop().unwrap();
    }
}

#[test]
fn a_map_makes_another_payload_for_the_same_twin_in_order() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = builder
            .dataflow(|feed| {
                let models = feed.models();
                feed.map(|message: &Inbound<'_>, step: Step| {
                    assert!(message.twin.starts_with("twin-") && message.model == "seen");
                    Ok(Step { n: step.n * 10, act: step.act })
                })
                .process(models)
                .settle()
            })
            .start()
            .unwrap();
        for n in 0..100 {
            broker.send("seen", &format!("twin-{}", n % 3), step(n, Act::Reply));
        }
        wait_acknowledged(&broker, 100);
        for twin in 0..3u64 {
            let expected = (0..100).filter(|n| n % 3 == twin).map(|n| n * 10);
            let numbers = seen(&engine, &format!("twin-{twin}")).unwrap().numbers;
            assert!(numbers.into_iter().eq(expected));
        }
        assert!(engine.stop().unwrap().left.is_empty());
        let replies = broker.feedback();
        assert_eq!(replies.len(), 100, "feedback goes to where the message came from");
    }
}

/// Many twins feed one, by way of frames of several owners, in one delivery and in many.
#[test]
fn messages_of_a_partition_keep_their_order_at_the_twin_that_they_are_routed_to() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let step = |n: u64| {
            let message = MemoryMessage::new("seen", &format!("from-{n}"), step(n, Act::Count));
            MemoryMessage { partition: Some(n as usize % 2), ..message }
        };
        broker.send_all((0..500).map(step));
        let engine = builder
            .dataflow(|feed| {
                let models = feed.models();
                feed.route(|message| match message.twin.strip_prefix("from-") {
                    Some(number) => {
                        let number: u64 = number.parse()?;
                        Ok(Route::twin(format!("to-{}", number / 2 % 5)))
                    }
                    None => Ok(Route::Same),
                })
                .process(models)
                .settle()
            })
            .start()
            .unwrap();
        broker.send_all((500..1000).map(step));
        wait_acknowledged(&broker, 1000);
        let mut all = 0;
        for twin in 0..5 {
            let numbers = seen(&engine, &format!("to-{twin}")).unwrap().numbers;
            all += numbers.len();
            // Two partitions, or one queue.
            for partition in 0..2 {
                let of: Vec<_> = numbers.iter().filter(|n| **n % 2 == partition).collect();
                assert!(of.is_sorted(), "{workers} workers, to-{twin}: {numbers:?}");
            }
        }
        assert_eq!(all, 1000);
        engine.stop().unwrap();
    }
}

#[test]
fn a_message_becomes_several_for_several_twins_all_in_its_epoch() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = through(builder, |message, out| {
            let step: Step = message.deserialize()?;
            for twin in 0..step.n {
                out.emit_to(&Route::twin(format!("t-{twin}")), &step)?;
            }
            Ok(())
        });
        for n in 0..20 {
            broker.send("seen", "gateway", step(n, Act::Count));
        }
        wait_acknowledged(&broker, 20);
        for twin in 0..19 {
            let numbers = seen(&engine, &format!("t-{twin}")).unwrap().numbers;
            assert!(numbers.into_iter().eq(twin + 1..20), "{workers} workers, twin {twin}");
        }
        assert_eq!(seen(&engine, "gateway"), None);
        let statistics = engine.handle().statistics();
        assert_eq!((statistics.pipeline_dropped, statistics.pipeline_added), (1, 171));
        engine.stop().unwrap();
    }
}

#[test]
fn what_a_closure_fails_on_is_a_dead_letter_of_that_message_alone() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = through(builder, |message, out| {
            let step: Step = message.deserialize()?;
            // What was given before the failure must not count.
            out.pass()?;
            match step.act {
                Act::Fail => Err(ProcessingError::message("not this one")),
                Act::Panic => panic!("nor this"),
                Act::Remove => out.pass_to(&Route::model("nobody", "x")),
                Act::NoUpdate => out.pass_to(&Route::twin("")),
                Act::Count | Act::Reply => Ok(()),
            }
        });
        let acts = [Act::Count, Act::Fail, Act::Panic, Act::Remove, Act::NoUpdate, Act::Count];
        broker.send("seen", "a", "not json");
        for (n, act) in acts.into_iter().enumerate() {
            broker.send("seen", "a", step(n as u64, act));
        }
        wait_acknowledged(&broker, 7);
        assert_eq!(seen(&engine, "a").unwrap().numbers, [0, 5], "{workers} workers");
        let letters = engine.handle().dead_letters().list(0, 10);
        let expected = ["expected", "not this one", "panic: nor this", "\"nobody\"", "is empty"];
        for reason in expected {
            let of = letters.iter().find(|letter| letter.reason.contains(reason));
            let letter = of.unwrap_or_else(|| panic!("{reason}: {letters:#?}"));
            assert_eq!(letter.kind, DeadLetterKind::Pipeline);
            assert_eq!(
                (letter.model.as_deref(), letter.twin.as_deref()),
                (Some("seen"), Some("a"))
            );
            assert_eq!(letter.connection, "plant");
        }
        assert_eq!(letters.len(), expected.len());
        let replay = engine.runtime().block_on(engine.handle().replay(letters[0].number));
        assert!(replay.unwrap_err().to_string().contains("before its twin"));
        engine.stop().unwrap();
    }
}

#[test]
fn a_partition_and_offset_are_kept_in_the_dead_letter() {
    let (builder, broker) = builder(2, Memory::replayable(1));
    let engine = through(builder, |_, _| Err(ProcessingError::message("no")));
    broker.send("seen", "a", step(0, Act::Count));
    broker.send("seen", "b", step(1, Act::Count));
    wait_acknowledged(&broker, 2);
    let letters = engine.handle().dead_letters().list(0, 10);
    let by_twin: BTreeMap<_, _> =
        letters.iter().map(|it| (it.twin.as_deref().unwrap(), it.position)).collect();
    assert_eq!(by_twin, BTreeMap::from([("a", Some(0)), ("b", Some(1))]));
    engine.stop().unwrap();
}
