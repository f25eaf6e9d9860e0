//! Delivery and acknowledgement, for both kinds of position and several numbers of workers.

use std::time::Duration;

use twinflow::{ConnectionSettings, Engine, connectors::memory::Memory};

use crate::common::{Act, PATIENCE, Seen, Watch, builder, seen, step, wait_acknowledged};

/// Every shape in which one message must get through.
fn shapes() -> impl Iterator<Item = (usize, Memory)> {
    (1..=4)
        .flat_map(|workers| [(workers, Memory::replayable(2)), (workers, Memory::acknowledged(20))])
}

#[test]
fn law_s3_one_message_then_silence_is_acknowledged() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = builder.start().unwrap();
        broker.send("seen", "a", step(1, Act::Count));
        wait_acknowledged(&broker, 1);
        assert_eq!(seen(&engine, "a").unwrap().numbers, [1], "{workers} workers");
        engine.stop().unwrap();
    }
}

/// Twelve doublings of 10 ms would be 40 s.
#[test]
fn a_connection_that_worked_comes_back_at_once_however_often_it_was_cut() {
    let memory = Memory::acknowledged(20);
    let broker = memory.broker();
    let settings = ConnectionSettings { reconnect_backoff_ms: 10, ..ConnectionSettings::default() };
    let builder = Engine::builder().workers(1).memory_store().model("seen", Watch);
    let engine = builder.connection_with("plant", memory, settings).start().unwrap();
    for n in 1..=12 {
        broker.send("seen", "a", step(n, Act::Count));
        let soon = broker.wait(Duration::from_secs(3), |broker| broker.acknowledged() >= n);
        assert!(soon, "message {n} waited more than 3 s for the next session");
        broker.cut();
    }
    engine.stop().unwrap();
}

#[test]
fn fifty_ids_make_fifty_twins_each_initialized_once() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = builder.start().unwrap();
        for n in 0..200u64 {
            broker.send("seen", &format!("twin-{}", n % 50), step(n, Act::Count));
        }
        wait_acknowledged(&broker, 200);
        let ids: Vec<_> = (0..50).map(|n| format!("twin-{n}")).collect();
        for (n, id) in ids.iter().enumerate() {
            let Seen { numbers, initialized, .. } = seen(&engine, id).unwrap();
            let n = n as u64;
            assert_eq!((numbers, initialized), (vec![n, n + 50, n + 100, n + 150], 1));
        }
        let stopped = engine.stop().unwrap();
        assert!(stopped.left.is_empty(), "{stopped}");
    }
}

#[test]
fn a_reply_reaches_the_data_source_with_twin_model_and_payload() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = builder.start().unwrap();
        broker.send("seen", "a", step(7, Act::Reply));
        wait_acknowledged(&broker, 1);
        let mut sent = Vec::new();
        assert!(broker.wait(PATIENCE, |broker| {
            sent.extend(broker.feedback());
            !sent.is_empty()
        }));
        let feedback = &sent[0];
        assert_eq!((feedback.model.as_str(), feedback.twin.as_str()), ("seen", "a"));
        assert_eq!(feedback.payload, b"7");
        let stopped = engine.stop().unwrap();
        assert!(stopped.left.is_empty(), "{stopped}");
    }
}

#[test]
fn what_a_cut_session_left_is_delivered_again_and_nothing_is_lost() {
    for (workers, memory) in shapes() {
        let (builder, broker) = builder(workers, memory);
        let engine = builder.start().unwrap();
        for n in 0..2000u64 {
            broker.send("seen", &format!("twin-{}", n % 10), step(n, Act::Count));
            if n % 400 == 199 {
                broker.cut();
            }
        }
        wait_acknowledged(&broker, 2000);
        let mut all = std::collections::BTreeSet::new();
        for n in 0..10 {
            all.extend(seen(&engine, &format!("twin-{n}")).unwrap().numbers);
        }
        assert_eq!(all.len(), 2000, "{workers} workers");
        engine.stop().unwrap();
    }
}
