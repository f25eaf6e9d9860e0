//! What is seen of dead letters, and what they take.

use super::*;

fn letter(number: u64, epoch: u64) -> DeadLetter {
    DeadLetter {
        number,
        kind: DeadLetterKind::Failed,
        model: Some("m".into()),
        twin: None,
        connection: "c".into(),
        partition: None,
        position: None,
        reason: "because".into(),
        attempts: 1,
        at: Timestamp(5),
        epoch,
        payload_bytes: 2,
    }
}

#[test]
fn a_dead_letter_is_shown_only_when_its_epoch_is_committed() {
    let letters = DeadLetters::default();
    letters.add(letter(1, 4));
    letters.add(letter(2, 5));
    letters.commit(4);
    assert_eq!(letters.list(0, 10).len(), 1);
    assert_eq!(letters.get(2), None);
    letters.commit(5);
    assert_eq!(letters.list(1, 10), [letter(2, 5)]);
}

#[test]
fn law_d5_a_dead_letter_is_seen_until_the_epoch_that_takes_it_is_committed() {
    let letters = DeadLetters::default();
    letters.add(letter(1, 4));
    letters.commit(4);
    assert!(letters.take(1, 6) && !letters.take(1, 6), "it goes once");
    letters.commit(5);
    assert_eq!(letters.len(), 1);
    letters.commit(6);
    assert_eq!((letters.get(1), letters.len(), letters.newest()), (None, 0, 1));
    assert!(!letters.take(1, 7), "there is none");
    letters.add(letter(2, 7));
    assert!(letters.take(2, 8));
    letters.put_back(2);
    letters.commit(9);
    assert_eq!(letters.list(0, 9), [letter(2, 7)]);
}

fn taken(letters: &DeadLetters) -> u64 {
    letters.kept().iter().map(|kept| kept.bytes).sum()
}

#[test]
fn law_d12_what_a_model_keeps_is_counted_until_it_is_gone() {
    let letters = DeadLetters::default();
    letters.add(letter(1, 4));
    letters.add(letter(2, 4));
    let other =
        DeadLetter { model: None, connection: "d".into(), payload_bytes: 9, ..letter(3, 4) };
    letters.add(other);
    letters.commit(4);
    let bytes = letter(1, 4).kept_bytes();
    let kept = |model: Option<&str>, bytes, connection: &str| Kept {
        model: model.map(str::to_owned),
        feedback: false,
        bytes,
        connections: vec![connection.to_owned()],
    };
    // One word less, seven bytes more.
    assert_eq!(letters.kept(), [kept(None, bytes + 6, "d"), kept(Some("m"), 2 * bytes, "c")]);
    assert!(letters.take(1, 5));
    assert_eq!(taken(&letters), 3 * bytes + 6, "it may still come back");
    letters.commit(5);
    assert_eq!(taken(&letters), 2 * bytes + 6);
    assert!(letters.take(2, 6) && letters.take(3, 6));
    letters.commit(6);
    assert_eq!(letters.kept(), []);
}

#[test]
fn law_d12_what_is_too_old_is_due_and_so_is_the_oldest_feedback_beyond_the_bound() {
    let letters = DeadLetters::default();
    let at = |number, secs| DeadLetter { at: Timestamp(0).plus_secs(secs), ..letter(number, 4) };
    for (number, secs) in [(1, 12), (2, 10), (3, 11)] {
        letters.add(at(number, secs));
        let (number, kind) = (number + 10, DeadLetterKind::Feedback);
        letters.add(DeadLetter { number, kind, ..at(number, secs) });
    }
    letters.add(DeadLetter { model: Some("gone".into()), ..at(20, 1) });
    letters.commit(4);
    let bytes = letter(1, 4).kept_bytes();
    let due = |secs, bytes_max, most| {
        let limits = KeepLimits { bytes_max, keep_secs: 60 };
        let limits = |model: Option<&str>| (model == Some("m")).then_some(limits);
        letters.due(Timestamp(0).plus_secs(secs), limits, most)
    };
    assert!(due(69, 3 * bytes, 9).is_empty());
    assert_eq!(due(71, 3 * bytes, 9), [2, 3, 12, 13]);
    assert_eq!(due(71, 3 * bytes, 1), [2]);
    assert_eq!(due(0, 2 * bytes, 9), [12], "only feedback");
    assert_eq!(due(0, 0, 9), [12, 13, 11]);
    assert!(letters.take(12, 5));
    assert!(due(0, 2 * bytes, 9).is_empty(), "one that goes is enough");
    letters.commit(5);
    assert!(due(0, 2 * bytes, 9).is_empty());
}

#[test]
fn the_stored_form_comes_back() {
    let mut part = EpochPart::default();
    put_dead_letter(&mut part, &letter(7, 9), b"{}");
    let entry = crate::store::entries(part.bytes()).next().unwrap().unwrap();
    assert_eq!(read_dead_letter(entry.value), Some(letter(7, 9)));
    assert!(entry.value.ends_with(b"{}"));
}
