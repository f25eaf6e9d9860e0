//! What comes back: the order of law D1, and that nothing of it can hold up the rest for ever.

use super::*;

fn rejected(receipt: Receipt) -> LinkRow {
    LinkRow::Rejected { receipt, index: 0, dead_letter: 1, reason: "x".into() }
}

#[test]
fn law_d1_what_an_epoch_brought_comes_before_its_acknowledgement() {
    let slot = slot();
    let mut link = slot.open();
    let receipt = deliver_one(&mut link);
    slot.hand(LinkRow::Feedback(entry(0, Some(receipt))));
    slot.hand(rejected(receipt));
    slot.acknowledge(receipt, 4);
    let Some(LinkEvent::Send(feedback)) = link.events.try_next() else { panic!("feedback first") };
    assert_eq!(feedback.cause, Some(receipt));
    assert!(matches!(link.events.try_next(), Some(LinkEvent::Rejected { .. })));
    let told = link.events.try_next();
    assert_eq!(told, Some(LinkEvent::Acknowledged { up_to: receipt, epoch: 4 }));
    assert_eq!(link.events.try_next(), None);
}

#[test]
fn law_d1_later_feedback_does_not_hold_up_an_acknowledgement() {
    let slot = slot();
    let mut link = slot.open();
    let receipt = deliver_one(&mut link);
    slot.hand(LinkRow::Feedback(entry(0, None)));
    slot.acknowledge(receipt, 4);
    let told = (1..10).position(|index| {
        // Twins go on sending as fast as the connector takes it.
        let event = link.events.try_next();
        slot.hand(LinkRow::Feedback(entry(index, None)));
        matches!(event, Some(LinkEvent::Acknowledged { .. }))
    });
    assert_eq!(told, Some(1), "after the feedback that came before it, and before any later one");
}

#[test]
fn drain_and_stop_do_not_wait_for_feedback() {
    let slot = slot();
    let mut link = slot.open();
    let receipt = deliver_one(&mut link);
    for index in 0..3 {
        slot.hand(LinkRow::Feedback(entry(index, None)));
    }
    slot.drain();
    assert_eq!(link.events.try_next(), Some(LinkEvent::Drain), "reading on makes more feedback");
    assert!(matches!(link.events.try_next(), Some(LinkEvent::Send(_))));
    slot.acknowledge(receipt, 1);
    slot.stop();
    let mut rest = std::iter::from_fn(|| link.events.try_next());
    assert!(rest.by_ref().take(2).all(|event| matches!(event, LinkEvent::Send(_))));
    assert!(matches!(rest.next(), Some(LinkEvent::Acknowledged { .. })), "what is due is told");
    slot.hand(LinkRow::Feedback(entry(3, None)));
    assert_eq!(rest.next(), Some(LinkEvent::Stop), "then it is over, whatever is unconfirmed");
}

#[test]
fn a_cause_of_an_earlier_session_is_not_shown_to_a_later_one() {
    let slot = slot();
    let mut link = slot.open();
    let receipt = deliver_one(&mut link);
    slot.take().unwrap();
    slot.hand(LinkRow::Feedback(entry(0, Some(receipt))));
    slot.close();
    let mut link = slot.open();
    let Some(LinkEvent::Send(again)) = link.events.try_next() else { panic!("it comes again") };
    assert_eq!(again.cause, None);
}

#[test]
fn law_s1_an_acknowledgement_of_an_earlier_session_is_never_told() {
    let slot = slot();
    let mut link = slot.open();
    let old = deliver_one(&mut link);
    slot.take().unwrap();
    slot.close();
    assert_eq!(link.events.try_next(), Some(LinkEvent::Stop));
    let mut link = slot.open();
    let new = deliver_one(&mut link);
    slot.acknowledge(old, 1);
    assert_eq!(link.events.try_next(), None);
    slot.acknowledge(new, 2);
    let told = LinkEvent::Acknowledged { up_to: new, epoch: 2 };
    assert_eq!(link.events.try_next(), Some(told));
}

#[test]
fn law_s4_what_nobody_listens_to_stays_bounded() {
    let limits = OutboxLimits { entries_max: 10, ..OUTBOX_LIMITS };
    let slot = Slot::new(slot().place.clone(), Arc::clone(&slot().edge), Arc::default(), limits);
    for index in 0..10_000 {
        slot.hand(LinkRow::Feedback(entry(index, None)));
    }
    let waiting = slot.state().outbox.waiting.len();
    assert!(waiting <= 10, "{waiting} wait for a session that may never come");
}
