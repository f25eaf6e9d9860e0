//! What an intake takes, without a graph.

use std::sync::Arc;

use twinflow_connectors::{
    link::{Edge, Link, ModelNames},
    message::{Message, Timestamp, limits::DELIVERY_ROWS_MAX},
};

use super::intake::Intake;
use crate::{
    models::Models,
    process::tests::bench::{shared_of, slot},
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
    let shared = shared_of(&edge, &slots, &Models::new());
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

#[test]
fn law_f4_a_careful_epoch_has_one_message_of_each_link() {
    let names = ModelNames::new([("log".to_owned(), 0)]);
    let edge = Edge::new(1, names, Arc::new(|| Timestamp(0)));
    edge.set_careful(true);
    let slots = [slot(0, "one", false, &edge), slot(1, "other", false, &edge)];
    let [mut one, mut other] = [slots[0].open(), slots[1].open()];
    let shared = shared_of(&edge, &slots, &Models::new());
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
