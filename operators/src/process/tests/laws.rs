use std::sync::atomic::Ordering;

use twinflow_connectors::{answer::StoredAnswer, link::OutcomeKind, row::RowKind};

use super::{
    super::ModelSettings,
    bench::{self, Bench, In, Note, PLANT, WEB, asked, nothing_known, told},
};
use crate::store::{EntryKind, EpochPart};

const QUIET: Note<false> = Note { greeting: None };
const QUIET_ENCODED: Note<true> = Note { greeting: None };

#[test]
fn law_p2_a_failing_group_is_called_one_by_one_from_the_state_before_it() {
    for bench in [&mut Bench::new(QUIET), &mut Bench::new(QUIET_ENCODED)] {
        bench.epoch(&[told("a")]);
        let out = bench.epoch(&[told("b"), told("fail"), told("c"), told("panic"), told("d")]);
        assert_eq!(bench.words().as_deref(), Some("new a b c d"));
        assert_eq!(out.entries(EntryKind::DeadLetter), 2);
        assert_eq!(out.entries(EntryKind::State), 1, "law P4: one final entry");
    }
}

#[test]
fn law_p1_a_call_that_fails_alone_leaves_the_twin_and_writes_no_state() {
    for bench in [&mut Bench::new(QUIET), &mut Bench::new(QUIET_ENCODED)] {
        bench.epoch(&[told("a")]);
        for bad in ["fail", "panic", "ignore"] {
            let out = bench.epoch(&[told(bad)]);
            assert_eq!(bench.words().as_deref(), Some("new a"), "after {bad}");
            assert_eq!(out.entries(EntryKind::State), 0);
        }
    }
}

#[test]
fn law_p2_remove_in_the_middle_creates_the_twin_anew_for_the_next_message() {
    for bench in [&mut Bench::new(QUIET), &mut Bench::new(QUIET_ENCODED)] {
        bench.epoch(&[told("a")]);
        bench.epoch(&[told("fail"), told("remove"), told("b"), told("fail")]);
        assert_eq!(bench.words().as_deref(), Some("new b"));
    }
}

#[test]
fn law_p4_a_new_twin_whose_only_outcome_is_no_update_does_not_exist() {
    let mut bench = Bench::new(QUIET);
    let out = bench.epoch(&[told("ignore")]);
    assert_eq!((bench.words(), out.result.part.is_empty()), (None, true));
}

#[test]
fn law_d5_a_repeated_message_is_answered_and_not_applied() {
    let mut bench = Bench::new(QUIET);
    let message = In { id: Some("k"), origin: WEB, ..told("a") };
    bench.epoch(&[message]);
    let out = bench.epoch(&[message, In { word: "b", ..message }]);
    assert!(matches!(out.outcomes()[..], [OutcomeKind::Repeated(_), OutcomeKind::KeyOtherBody]));
    assert_eq!(bench.words().as_deref(), Some("new a"));
}

#[test]
fn law_d5_ids_survive_the_removal_of_their_twin() {
    let mut bench = Bench::new(QUIET);
    let message = In { id: Some("k"), origin: WEB, ..told("a") };
    bench.epoch(&[message]);
    bench.epoch(&[asked(RowKind::Remove)]);
    bench.epoch(&[message]);
    assert_eq!(bench.words(), None);
}

/// A worker that starts with twin `t` in quarantine, and with its state.
fn set_aside() -> Bench {
    let mut bench = Bench::new(QUIET);
    bench.epoch(&[told("a")]);
    Bench::set_aside(QUIET, bench.written())
}

#[test]
fn law_f4_a_twin_in_quarantine_is_not_called_until_it_is_released() {
    let mut bench = set_aside();
    let other = In { twin: "u", ..told("x") };
    let out = bench.epoch(&[told("b"), other, In { origin: WEB, ..told("c") }]);
    assert_eq!((out.entries(EntryKind::DeadLetter), out.entries(EntryKind::State)), (2, 1));
    assert!(out.rejected()[0].starts_with("the twin is in quarantine"));
    assert_eq!(bench.words().as_deref(), Some("new a"));
    let out = bench.epoch(&[asked(RowKind::Read), told("d")]);
    assert!(matches!(out.outcomes()[..], [OutcomeKind::State(Some(_))]));
    let out = bench.epoch(&[asked(RowKind::Release), asked(RowKind::Release)]);
    assert_eq!(out.outcomes(), [&OutcomeKind::Released(true), &OutcomeKind::Released(false)]);
    assert_eq!(bench.recovered().quarantined().count(), 0);
    bench.epoch(&[told("e")]);
    assert_eq!(bench.words().as_deref(), Some("new a e"));
}

#[test]
fn law_d2_a_sweep_writes_quarantine_again() {
    let mut bench = set_aside();
    bench.begin_sweep();
    (0..10).for_each(|_| bench.sweep());
    assert!(bench.swept());
    assert_eq!(bench.recovered().quarantined().count(), 1);
    bench.epoch(&[asked(RowKind::Release)]);
    bench.begin_sweep();
    (0..10).for_each(|_| bench.sweep());
    assert_eq!(bench.recovered().quarantined().count(), 0);
}

#[test]
fn law_f4_a_removed_twin_stays_in_quarantine_and_its_model_does_not_count_as_failing() {
    let mut bench = set_aside();
    bench.epoch(&[asked(RowKind::Remove)]);
    let out = bench.epoch(&[asked(RowKind::Create)]);
    assert_eq!((out.rejected().len(), bench.words()), (1, None));
    let many = vec![told("b"); 2000];
    bench.epoch(&many);
    let statistics = bench.models.statistics("log").unwrap();
    assert_eq!(statistics.failed.load(Ordering::Relaxed), 0);
    assert_eq!(statistics.quarantined.load(Ordering::Relaxed), 2001);
}

#[test]
fn law_p7_feedback_goes_to_the_connection_of_the_last_message() {
    let mut bench = Bench::new(QUIET);
    let web = In { origin: WEB, ..told("say") };
    let out = bench.epoch(&[told("say"), web]);
    assert_eq!(out.feedback(), [(WEB, "\"said\""), (WEB, "\"said\"")]);
    assert!(out.outcomes().is_empty(), "the last request has it in its answer");
    let out = bench.epoch(&[web, told("say")]);
    assert_eq!(out.feedback(), [(PLANT, "\"said\""), (PLANT, "\"said\"")]);
    assert_eq!(out.outcomes(), [&OutcomeKind::Merged]);
}

#[test]
fn law_p6_time_follows_what_was_received_and_never_goes_back() {
    let mut bench = Bench::new(QUIET);
    bench.epoch(&[In { at: 100, ..told("a") }]);
    bench.epoch(&[In { at: 50, ..told("b") }]);
    bench.epoch(&[In { at: 500, ..asked(RowKind::Read) }]);
    assert_eq!(bench.recovered().now().as_millis(), 100_000);
}

#[test]
fn law_r1_a_read_sees_the_epoch_that_it_is_in_and_writes_nothing() {
    let mut bench = Bench::new(QUIET);
    let out = bench.epoch(&[asked(RowKind::Read), told("a")]);
    let [OutcomeKind::State(Some(json))] = out.outcomes()[..] else { panic!() };
    assert_eq!(json, br#"{"words":["new","a"]}"#);
    let out = bench.epoch(&[asked(RowKind::Read), In { twin: "u", ..asked(RowKind::Read) }]);
    assert_eq!(out.outcomes().len(), 2);
    assert!(out.result.part.is_empty());
}

#[test]
fn a_twin_that_greets_can_be_created_and_get_a_message_in_one_epoch() {
    let mut bench = Bench::new(Note::<false> { greeting: Some("hello") });
    let out = bench.epoch(&[asked(RowKind::Create), told("say")]);
    assert_eq!(out.outcomes(), [&OutcomeKind::Created(true)]);
    assert_eq!(out.feedback(), [(PLANT, "\"said\"")]);
    assert_eq!(out.entries(EntryKind::DeadLetter), 1, "law P7: the greeting had no data source");
    assert_eq!(bench.words().as_deref(), Some("new say"));
}

#[test]
fn a_twin_that_came_and_went_in_one_epoch_leaves_nothing_in_the_store() {
    let mut bench = Bench::new(QUIET);
    bench.epoch(&[told("a"), asked(RowKind::Remove)]);
    assert_eq!(bench.words(), None);
    let recovered = bench.recovered();
    assert_eq!((recovered.twins_total(), recovered.unknown(&nothing_known())), (0, vec![]));
}

#[test]
fn the_limit_of_twins_holds_for_created_ones_too() {
    let settings = ModelSettings { twins_max: 1, ..ModelSettings::default() };
    let mut bench = Bench::with(QUIET, settings, EpochPart::default());
    bench.epoch(&[told("a")]);
    let out = bench.epoch(&[In { twin: "u", ..asked(RowKind::Create) }]);
    assert_eq!(out.rejected(), ["the model has 1 twins, its limit; no new ones are made"]);
    assert_eq!(bench.models.statistics("log").unwrap().twins.load(Ordering::Relaxed), 1);
    let out = bench.epoch(&[asked(RowKind::Create)]);
    assert_eq!(out.outcomes(), [&OutcomeKind::Created(false)], "one that exists is no new one");
}

#[test]
fn law_d5_a_message_refused_by_the_limit_of_twins_records_its_id() {
    let settings = ModelSettings { twins_max: 0, ..ModelSettings::default() };
    let mut bench = Bench::with(QUIET, settings, EpochPart::default());
    let message = In { id: Some("k"), origin: WEB, ..told("a") };
    assert_eq!(bench.epoch(&[message]).rejected().len(), 1);
    let out = bench.epoch(&[message]);
    assert!(matches!(out.outcomes()[..], [OutcomeKind::Repeated(_)]), "{:?}", out.outcomes());
    assert_eq!(out.entries(EntryKind::DeadLetter), 0);
}

#[test]
fn an_id_is_new_again_once_its_time_is_over() {
    let mut bench = Bench::new(QUIET);
    let message = In { id: Some("k"), ..told("a") };
    bench.epoch(&[message]);
    bench.epoch(&[In { at: 59, ..message }]);
    assert_eq!(bench.words().as_deref(), Some("new a"));
    bench.epoch(&[In { at: 60, ..message }]);
    assert_eq!(bench.words().as_deref(), Some("new a a"));
}

#[test]
fn another_body_under_a_known_id_is_never_lost_without_a_word() {
    let mut bench = Bench::new(QUIET);
    bench.epoch(&[In { id: Some("k"), ..told("a") }]);
    let out = bench.epoch(&[In { id: Some("k"), ..told("b") }]);
    assert_eq!(out.entries(EntryKind::DeadLetter), 1, "nobody waits for an outcome there");
    assert_eq!(bench.words().as_deref(), Some("new a"));
}

#[test]
fn law_d5_each_of_many_messages_with_ids_gets_its_own_answer() {
    let mut bench = Bench::new(QUIET);
    let ids: Vec<_> = (0..100).map(|number| format!("k{number}")).collect();
    let word = |number: usize| if number.is_multiple_of(7) { "fail" } else { "say" };
    let message = |number: usize| In { id: Some(&ids[number]), origin: WEB, ..told(word(number)) };
    let messages: Vec<_> = (0..100).map(message).collect();
    bench.epoch(&messages);
    let out = bench.epoch(&messages);
    assert_eq!(out.outcomes().len(), 100);
    for (number, outcome) in out.outcomes().into_iter().enumerate() {
        let OutcomeKind::Repeated(answer) = outcome else { panic!("{number}: {outcome:?}") };
        let answer = StoredAnswer::decode(answer).unwrap();
        assert_eq!(answer.rejected.is_some(), number.is_multiple_of(7), "{number}");
        assert_eq!(answer.replies.len(), usize::from(!number.is_multiple_of(7)), "{number}");
    }
}

#[test]
fn law_p1_a_state_that_panics_when_it_is_cloned_fails_its_call_only() {
    let mut bench = Bench::new(QUIET);
    bench.epoch(&[told("a"), told(bench::NO_CLONE)]);
    let out = bench.epoch(&[told("b"), In { twin: "u", ..told("c") }]);
    assert_eq!(out.entries(EntryKind::DeadLetter), 1);
    assert_eq!(out.entries(EntryKind::State), 1, "the other twin is called");
}
