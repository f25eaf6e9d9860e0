//! What goes in: permits, limits of a delivery, positions.

use super::*;
use crate::{
    frame::FrameView,
    message::{
        PartitionRef,
        limits::{DELIVERY_BYTES_MAX, QUEUE_ROWS_MAX},
    },
    row::RowKind,
};

fn at(partition: PartitionRef, position: u64) -> Message<'static> {
    Message { position: Some((partition, position)), ..Message::new("pump", "t", b"{}") }
}

/// Kind and reason of the only row of the only frame.
fn only_row(taken: &Taken) -> (RowKind, String) {
    let frame = &taken.frames[0];
    let row = FrameView::new(&frame.directory, &frame.body).row(0);
    (row.kind(), row.attributes().reason().unwrap_or_default().to_owned())
}

#[test]
fn law_s1_a_delivery_stays_below_its_bytes_with_headers_too() {
    let slot = slot();
    let mut link = slot.open();
    let value = vec![b'v'; 15 << 10];
    let headers = [("h", value.as_slice())];
    let message = Message { headers: &headers, ..Message::new("pump", "t", b"{}") };
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    while delivery.push(&message) {}
    delivery.deliver();
    let bytes = slot.take().unwrap().bytes;
    assert!(bytes <= DELIVERY_BYTES_MAX, "{bytes} bytes, the limit is {DELIVERY_BYTES_MAX}");
}

#[test]
fn law_s2_a_dropped_permit_takes_no_position() {
    let slot = slot();
    let mut link = slot.open();
    let (partition, next) = link.intake.partition("readings", 0);
    assert_eq!(next, None);
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    assert!(delivery.push(&at(partition, 0)));
    drop(delivery);
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    assert!(delivery.push(&at(partition, 0)));
    assert_eq!(delivery.len(), 1, "the row of the dropped permit was never delivered");
    delivery.deliver();
    assert_eq!(slot.take().unwrap().positions, [(0, 1)]);
}

#[test]
fn law_s2_closing_discards_what_was_not_taken_and_gives_its_room_back() {
    let slot = slot();
    let mut link = slot.open();
    deliver_one(&mut link);
    deliver_one(&mut link);
    assert!(slot.take().is_some());
    slot.close();
    assert!(slot.take().is_none(), "its upstream delivers it again");
    assert_eq!((slot.edge.budget.bytes(), slot.waiting_deliveries()), (0, 1), "of the taken one");
    assert!(link.intake.try_reserve().is_err(), "the session is over");
}

#[test]
fn law_d3_a_stored_position_of_zero_is_a_position_and_none_is_none() {
    let slot = slot();
    let position = Position { topic: "readings".into(), partition: 3, next: 0 };
    slot.restore_position(position.clone());
    let mut link = slot.open();
    assert_eq!(link.intake.partition("readings", 3).1, Some(0));
    assert_eq!(link.intake.partition("readings", 4).1, None);
    // A sweep writes it again.
    assert_eq!(slot.positions(), [position]);
}

#[test]
fn law_s2_a_position_is_delivered_once_in_a_session_and_again_if_it_was_not_taken() {
    let slot = slot();
    let mut link = slot.open();
    let (partition, _) = link.intake.partition("readings", 3);
    for position in [0, 0, 1] {
        let mut delivery = link.intake.try_reserve().unwrap().expect("room");
        assert!(delivery.push(&at(partition, position)));
        assert!(delivery.push(&at(partition, position)), "a repeated one counts as pushed");
        delivery.deliver();
    }
    assert_eq!(slot.queued().1, 2);
    slot.take().unwrap();
    slot.close();
    let mut link = slot.open();
    assert_eq!(link.intake.partition("readings", 3), (partition, Some(1)));
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    assert!(delivery.push(&at(partition, 0)) && delivery.push(&at(partition, 1)));
    assert_eq!(delivery.len(), 1, "0 was taken, 1 was discarded with its link");
}

#[test]
fn law_s7_a_blank_model_name_is_undeliverable() {
    let slot = slot();
    let mut link = slot.open();
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    assert!(delivery.push(&Message::new("", "t", b"{}")));
    delivery.deliver();
    assert_eq!(only_row(&slot.take().unwrap()).0, RowKind::Undeliverable);
}

#[test]
fn an_attribute_longer_than_a_row_can_say_is_undeliverable_and_not_left_out() {
    let slot = slot();
    let long = "x".repeat(70_000);
    let names = [("site", long.as_str())];
    let of_id = Message { id: Some(long.as_bytes()), ..Message::new("pump", "t", b"{}") };
    let of_name = Message { names: &names, ..Message::new("pump", "t", b"{}") };
    for message in [of_id, of_name] {
        let mut link = slot.open();
        let mut delivery = link.intake.try_reserve().unwrap().expect("room");
        assert!(delivery.push(&message));
        delivery.deliver();
        let (kind, reason) = only_row(&slot.take().unwrap());
        assert_eq!(kind, RowKind::Undeliverable);
        assert!(reason.contains("70"), "{reason}");
    }
}

#[test]
fn what_an_ended_session_delivers_is_neither_queued_nor_counted() {
    let slot = slot();
    let mut link = slot.open();
    let mut delivery = link.intake.try_reserve().unwrap().expect("room");
    assert!(delivery.push(&Message::new("pump", "t", b"{}")));
    slot.close();
    delivery.deliver();
    assert!(slot.is_empty() && link.intake.try_reserve().is_err());
    assert_eq!(slot.statistics.received.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_fresh_link_ends_the_waiting_of_the_earlier_one() {
    let slot = slot();
    let mut old = slot.open();
    while slot.queued().1 < QUEUE_ROWS_MAX {
        let Some(mut delivery) = old.intake.try_reserve().unwrap() else { break };
        while delivery.push(&Message::new("pump", "t", b"{}")) {}
        delivery.deliver();
    }
    let waiting = tokio::spawn(async move { old.intake.reserve().await.map(|_| ()) });
    tokio::task::yield_now().await;
    let mut link = slot.open();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await;
    assert!(ended.expect("the old half sees that it is over").unwrap().is_err());
    assert!(link.intake.try_reserve().unwrap().is_some());
}
