//! What an intake takes, without a graph.

use std::sync::{Arc, atomic::Ordering};

use twinflow_connectors::{
    link::{Edge, FeedbackId, Link, LinkRow, ModelNames, OutboxEntry, Position},
    message::{Message, Timestamp, limits::DELIVERY_ROWS_MAX},
};

use super::intake::Intake;
use crate::{
    models::Models,
    process::tests::bench::{NoStore, SINCE, shared_of, slot},
    recover::Recovered,
    store::EpochPart,
};

/// Delivers `rows` messages, if there is room.
fn deliver(link: &mut Link, twin: &str, rows: usize) {
    let Some(mut delivery) = link.intake.try_reserve().unwrap() else { return };
    for _ in 0..rows {
        assert!(delivery.push(&Message::new("log", twin, b"1")));
    }
    delivery.deliver();
}

#[test]
fn law_s1_a_link_that_fills_every_epoch_leaves_the_others_their_turn() {
    let names = ModelNames::new([("log".to_owned(), 0)]);
    let edge = Edge::new(1, names, Arc::new(|| Timestamp(0)));
    let slots = [slot(0, "fast", false, &edge), slot(1, "slow", false, &edge)];
    let [mut fast, mut slow] = [slots[0].open(), slots[1].open()];
    let shared = shared_of(&edge, &slots, &Models::new(), &Arc::default(), &Recovered::default());
    let mut intake = Intake::new(&shared);
    intake.finish();
    deliver(&mut slow, "slow", 1);
    for epoch in 1..=3 {
        // There is always a full epoch's worth in the fast link.
        deliver(&mut fast, "fast", DELIVERY_ROWS_MAX);
        deliver(&mut fast, "fast", DELIVERY_ROWS_MAX);
        intake.fill(epoch, true, drop);
        intake.finish();
    }
    assert!(slots[1].is_empty(), "the slow link has waited for three epochs");
}

fn feedback(index: u32) -> LinkRow {
    LinkRow::Feedback(OutboxEntry {
        id: FeedbackId { generation: 1, epoch: 2, index },
        model: 0,
        twin: "t".into(),
        cause: None,
        names: Vec::new(),
        payload: vec![7; 20],
        created_at: Timestamp(0),
    })
}

#[test]
fn law_d2_a_sweep_writes_silent_positions_and_unconfirmed_feedback_again() {
    let edge = Edge::new(1, ModelNames::new([]), Arc::new(|| Timestamp(0)));
    let slots = [slot(0, "plant", false, &edge), slot(1, "other", false, &edge)];
    let store: Arc<NoStore> = Arc::default();
    let shared = shared_of(&edge, &slots, &Models::new(), &store, &Recovered::default());
    for (slot, partition) in [(0, 3), (0, 4), (1, 3)] {
        slots[slot].restore_position(Position { topic: "silent".into(), partition, next: 9 });
    }
    let mut intake = Intake::new(&shared);
    intake.finish();
    store.sweep.store(1, Ordering::Relaxed);

    shared.committed.note(Some(SINCE - 1));
    (0..200).for_each(|index| slots[0].hand(feedback(index)));
    assert!(intake.finish().is_empty(), "an epoch before the sweep may still bring feedback");
    shared.committed.note(Some(SINCE));
    slots[1].hand(feedback(500));
    let mut swept = EpochPart::default();
    let mut pieces = 0;
    while !swept.swept().ledger_done {
        assert!(intake.sweeps_alone());
        swept.extend(&intake.finish());
        pieces += 1;
        if pieces == 2 {
            // Tickets are given anew, and what is given up now is no dead letter yet.
            slots[0].open();
            let limit = twinflow_connectors::link::OUTBOX_LIMITS.expiry_secs;
            slots[1].expire_feedback(Timestamp(0).plus_secs(limit));
        }
    }
    assert!(pieces > 20, "{pieces} pieces of 100 bytes");
    shared.twins_swept.set(1);
    assert!(intake.finish().is_empty() && !intake.sweeps_alone());

    let recovered = Recovered::of_part(&swept);
    let order: Vec<_> = recovered.outbox(0).map(|entry| entry.id.index).collect();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
    assert_eq!(recovered.outbox(1).count(), 1, "given up, and nobody has been told");
    let mut silent: Vec<_> = recovered.positions(0).map(|it| (it.partition, it.next)).collect();
    silent.sort_unstable();
    assert_eq!(silent, [(3, 9), (4, 9)]);
    assert_eq!(recovered.positions(1).count(), 1);
}

#[test]
fn law_f4_a_careful_epoch_has_one_message_of_each_link() {
    let names = ModelNames::new([("log".to_owned(), 0)]);
    let edge = Edge::new(1, names, Arc::new(|| Timestamp(0)));
    edge.set_careful(true);
    let slots = [slot(0, "one", false, &edge), slot(1, "other", false, &edge)];
    let [mut one, mut other] = [slots[0].open(), slots[1].open()];
    let shared = shared_of(&edge, &slots, &Models::new(), &Arc::default(), &Recovered::default());
    let mut intake = Intake::new(&shared);
    intake.finish();
    let mut delivery = one.intake.try_reserve().unwrap().unwrap();
    assert!(delivery.push(&Message::new("log", "t", b"1")));
    assert!(!delivery.push(&Message::new("log", "t", b"2")), "a delivery has one row");
    delivery.deliver();
    deliver(&mut one, "t", 1);
    deliver(&mut other, "t", 1);
    let mut rows = Vec::new();
    for epoch in 1..=3 {
        let mut taken = 0;
        let more = intake.fill(epoch, true, |frame| taken += frame.view().rows());
        rows.push(taken);
        assert_eq!(more, taken > 0, "who has taken something looks again");
        intake.finish();
    }
    assert_eq!(rows, [2, 1, 0]);
}
