//! Dead letters that come once more, or go (law D5).

use twinflow_connectors::{answer::StoredAnswer, link::OutcomeKind, row::RowKind};

use super::{
    super::{ModelSettings, OnFailure},
    bench::{Bench, In, Note, PLANT, WEB, asked, replayed, told},
};
use crate::store::EntryKind;

const QUIET: Note<false> = Note { greeting: None };
const GONE: &OutcomeKind = &OutcomeKind::DeadLetterGone(true);
const UNKNOWN: &OutcomeKind = &OutcomeKind::DeadLetterGone(false);

/// A worker with dead letter 1, of a message with id `k`.
fn bench() -> Bench {
    let mut bench = Bench::new(QUIET);
    let out = bench.epoch(&[In { id: Some("k"), ..told("fail") }]);
    assert_eq!(out.entries(EntryKind::DeadLetter), 1);
    bench
}

#[test]
fn law_d5_a_replay_is_exempt_from_its_id_and_goes_in_the_frame_that_applies_it() {
    let mut bench = bench();
    let out = bench.epoch(&[In { id: Some("k"), ..replayed(1, "a") }]);
    assert_eq!(bench.words().as_deref(), Some("new a"));
    assert_eq!(out.outcomes(), [GONE]);
    let entries = [EntryKind::State, EntryKind::DeadLetterDropped].map(|kind| out.entries(kind));
    assert_eq!(entries, [1, 1]);
    let recovered = bench.recovered();
    assert_eq!((recovered.dead_letters().count(), recovered.dead_letters_newest()), (0, 1));
    let again = bench.epoch(&[replayed(1, "b")]);
    assert_eq!(again.outcomes(), [UNKNOWN]);
    assert_eq!(bench.words().as_deref(), Some("new a"), "once");
}

#[test]
fn law_d5_two_replays_of_one_dead_letter_in_an_epoch_are_one() {
    let mut bench = bench();
    let out = bench.epoch(&[replayed(1, "a"), replayed(1, "b")]);
    assert_eq!(out.outcomes(), [UNKNOWN, GONE]);
    assert_eq!(bench.words().as_deref(), Some("new a"));
}

#[test]
fn law_d5_a_replay_that_fails_again_leaves_its_dead_letter() {
    let halt = ModelSettings { on_failure: OnFailure::Halt, ..ModelSettings::default() };
    for settings in [ModelSettings::default(), halt] {
        let mut bench = Bench::with(QUIET, settings, bench().written());
        for word in ["fail", "panic"] {
            let out = bench.epoch(&[told("a"), replayed(1, word), told("b")]);
            assert_eq!(out.rejected().len(), 1, "{word}");
            assert!(out.outcomes().is_empty(), "{word}");
            let kinds = [EntryKind::DeadLetter, EntryKind::DeadLetterDropped];
            assert_eq!(kinds.map(|kind| out.entries(kind)), [0, 0], "{word}");
            assert_eq!(out.result.halted, None, "a person sees it");
        }
        assert_eq!(bench.epoch(&[replayed(1, "c")]).outcomes(), [GONE]);
        assert_eq!(bench.words().as_deref(), Some("new a b a b c"));
    }
}

#[test]
fn law_p7_a_replay_is_no_news_of_the_data_source() {
    let mut bench = bench();
    bench.epoch(&[told("a")]);
    let out = bench.epoch(&[replayed(1, "say")]);
    assert_eq!(out.feedback(), [(PLANT, "\"said\"")], "the link of the replay gets none");
    assert_eq!((out.entries(EntryKind::Route), out.outcomes()), (0, vec![GONE]));

    let mut bench = self::bench();
    let web = In { origin: WEB, ..told("say") };
    let out = bench.epoch(&[web, replayed(1, "say")]);
    assert_eq!(out.feedback(), [(WEB, "\"said\""), (WEB, "\"said\"")]);
    assert_eq!(out.outcomes(), [GONE], "the request before it has everything in its answer");

    let mut bench = self::bench();
    let keyed = In { id: Some("m"), ..web };
    bench.epoch(&[keyed, replayed(1, "say")]);
    let out = bench.epoch(&[keyed]);
    let [OutcomeKind::Repeated(stored)] = out.outcomes()[..] else { panic!() };
    let answer = StoredAnswer::decode(stored).unwrap();
    assert_eq!((answer.replies.len(), answer.merged), (2, false), "and when it is repeated");
}

#[test]
fn law_p7_what_a_replay_makes_a_twin_without_data_source_send_is_kept() {
    let mut bench = bench();
    let out = bench.epoch(&[replayed(1, "say")]);
    assert_eq!(bench.words().as_deref(), Some("new say"));
    assert_eq!((out.feedback(), out.entries(EntryKind::DeadLetter)), (vec![], 1));
}

#[test]
fn law_f4_what_a_quarantine_kept_is_replayed_after_the_release() {
    let mut bench = Bench::set_aside(QUIET, bench().written());
    let out = bench.epoch(&[replayed(1, "a")]);
    assert!(out.rejected()[0].starts_with("the twin is in quarantine"));
    let kinds = [EntryKind::DeadLetter, EntryKind::DeadLetterDropped];
    assert_eq!(kinds.map(|kind| out.entries(kind)), [0, 0]);
    bench.epoch(&[asked(RowKind::Release)]);
    assert_eq!(bench.epoch(&[replayed(1, "a")]).outcomes(), [GONE]);
    assert_eq!(bench.words().as_deref(), Some("new a"));
}

#[test]
fn a_dead_letter_is_dropped_once_and_applied_never() {
    let mut bench = bench();
    let drop = In { kind: RowKind::Drop, ..replayed(1, "a") };
    let out = bench.epoch(&[drop, drop]);
    assert_eq!(out.outcomes(), [GONE, UNKNOWN]);
    assert_eq!(out.entries(EntryKind::DeadLetterDropped), 1);
    assert_eq!(bench.recovered().dead_letters().count(), 0);
    assert_eq!(bench.epoch(&[replayed(1, "b")]).outcomes(), [UNKNOWN]);
    assert_eq!(bench.words(), None);
}
