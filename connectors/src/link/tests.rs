//! The laws that a link keeps, driven by hand: one slot, no dataflow, no connector.

mod delivering;
mod telling;

use std::sync::Arc;

use super::*;
use crate::message::{Format, Message, Timestamp};

fn slot() -> Arc<Slot> {
    let models = ModelNames::new([("pump".to_owned(), 0)]);
    let edge = Edge::new(1, models, Arc::new(|| Timestamp(1)));
    let place = SlotPlace {
        connection_number: 0,
        id: 0,
        connection: "plant".into(),
        number: 0,
        slots: 1,
        worker: 0,
        format: Format::Json,
        answers: false,
        dedupe_keep_secs: None,
    };
    Slot::new(place, edge, Arc::default(), OUTBOX_LIMITS)
}

fn entry(index: u32, cause: Option<Receipt>) -> OutboxEntry {
    OutboxEntry {
        id: FeedbackId { generation: 1, epoch: 1, index },
        model: 0,
        twin: "t".into(),
        cause,
        names: Vec::new(),
        payload: b"brake".to_vec(),
        created_at: Timestamp(1),
    }
}

/// Delivers one message for twin `t`.
fn deliver_one(link: &mut Link) -> Receipt {
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    assert!(delivery.push(&Message::new("pump", "t", b"{}")));
    delivery.deliver()
}
