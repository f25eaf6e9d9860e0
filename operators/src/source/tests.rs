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
