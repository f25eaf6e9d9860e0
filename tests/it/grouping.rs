//! One call per twin and epoch, in order; failures leave the twin as it was.

use twinflow::connectors::memory::Memory;

use crate::common::{Act, builder, seen, step, wait_acknowledged};

#[test]
fn law_p2_ten_thousand_messages_to_one_twin_are_few_calls_in_order() {
    let (builder, broker) = builder(2, Memory::replayable(1));
    for n in 0..10_000u64 {
        broker.send("seen", "a", step(n, Act::Count));
    }
    let engine = builder.start().unwrap();
    wait_acknowledged(&broker, 10_000);
    let twin = seen(&engine, "a").unwrap();
    assert!(twin.numbers.iter().copied().eq(0..10_000), "order is kept");
    assert!(twin.calls < 100, "{} calls for one burst", twin.calls);
    engine.stop().unwrap();
}

#[test]
fn case_8_one_bad_of_five_leaves_the_other_four_in_order() {
    let bad: [(&str, Vec<u8>, &str); 3] = [
        ("does not parse", b"{\"n\":".to_vec(), "EOF while parsing"),
        ("returns an error", step(3, Act::Fail), "3 is bad"),
        ("panics", step(3, Act::Panic), "panic: 3 is worse"),
    ];
    for (what, payload, reason) in bad {
        let (builder, broker) = builder(1, Memory::acknowledged(20));
        for n in 1..=5u64 {
            let payload = if n == 3 { payload.clone() } else { step(n, Act::Count) };
            broker.send("seen", "x", payload);
        }
        let engine = builder.start().unwrap();
        wait_acknowledged(&broker, 5);
        assert_eq!(seen(&engine, "x").unwrap().numbers, [1, 2, 4, 5], "{what}");
        let letters = engine.handle().dead_letters().list(0, 10);
        assert_eq!(letters.len(), 1, "{what}");
        assert!(letters[0].reason.starts_with(reason), "{what}: {}", letters[0].reason);
        assert_eq!(letters[0].twin.as_deref(), Some("x"));
        let kept = engine.handle().dead_letter_payload(letters[0].number).unwrap();
        assert_eq!(kept, Some(payload), "{what}");
        engine.stop().unwrap();
    }
}

#[test]
fn case_3_a_removed_twin_is_gone_and_made_anew_by_its_next_message() {
    let (builder, broker) = builder(1, Memory::acknowledged(20));
    let engine = builder.start().unwrap();
    for (id, n, act) in [("a", 1, Act::Count), ("b", 1, Act::Count), ("a", 2, Act::Remove)] {
        broker.send("seen", id, step(n, act));
    }
    wait_acknowledged(&broker, 3);
    assert_eq!(seen(&engine, "a"), None);
    assert_eq!(seen(&engine, "b").unwrap().numbers, [1]);
    broker.send("seen", "a", step(3, Act::Count));
    wait_acknowledged(&broker, 4);
    let twin = seen(&engine, "a").unwrap();
    assert_eq!((twin.numbers, twin.initialized), (vec![3], 1));
    engine.stop().unwrap();
}

#[test]
fn case_5_a_message_for_an_unknown_model_is_a_dead_letter_and_makes_no_twin() {
    let (builder, broker) = builder(1, Memory::replayable(1));
    let engine = builder.start().unwrap();
    broker.send("nobody", "a", b"{}");
    wait_acknowledged(&broker, 1);
    let letters = engine.handle().dead_letters().list(0, 10);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].model.as_deref(), Some("nobody"));
    assert_eq!(letters[0].position, Some(0));
    engine.stop().unwrap();
}

#[test]
fn case_6_no_update_is_not_seen_by_the_next_call() {
    let (builder, broker) = builder(1, Memory::acknowledged(20));
    let engine = builder.start().unwrap();
    let acts = [Act::Count, Act::NoUpdate, Act::Count];
    for (n, act) in acts.into_iter().enumerate() {
        broker.send("seen", "a", step(n as u64, act));
        wait_acknowledged(&broker, n as u64 + 1);
    }
    assert_eq!(seen(&engine, "a").unwrap().numbers, [0, 2]);
    broker.send("seen", "new", step(9, Act::NoUpdate));
    wait_acknowledged(&broker, 4);
    assert_eq!(seen(&engine, "new"), None, "law P4: its only outcome was NoUpdate");
    engine.stop().unwrap();
}
