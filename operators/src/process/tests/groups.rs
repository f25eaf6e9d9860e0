//! Epochs that share a commit: what they write together says what they would say one by one.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};

use super::{
    super::ModelSettings,
    bench::{Bench, In, Note, told},
};
use crate::{
    context::ProcessingContext,
    message::Messages,
    model::{MessageOf, MessageProcessor, Outcome, ProcessingError, TwinModel},
    store::{EntryKind, entries},
};

const QUIET: Note<false> = Note { greeting: None };

/// Entries of a kind in the part that all epochs share.
fn written(bench: &Bench, kind: EntryKind) -> usize {
    let all = entries(bench.shared_part().bytes()).map(Option::unwrap);
    all.filter(|entry| entry.kind == kind).count()
}

#[test]
fn law_p4_epochs_that_share_a_part_have_one_entry_for_a_twin_and_the_last_state_counts() {
    let mut bench = Bench::sharing(QUIET);
    let mut separate = Bench::new(QUIET);
    let mut both = |rows: &[In<'_>]| {
        bench.epoch(rows);
        separate.epoch(rows);
        assert_eq!(bench.recovered().dump(), separate.recovered().dump());
        let all = entries(bench.shared_part().bytes()).map(Option::unwrap);
        let states = all.filter(|entry| (entry.kind, entry.key) == (EntryKind::State, b"t"));
        states.count()
    };
    assert_eq!(both(&[told("a")]), 1);
    assert_eq!(both(&[told("longer")]), 1, "it grew, so it is said again");
    assert_eq!(both(&[told("ignore")]), 1);
    assert_eq!(both(&[told("b"), told("fail")]), 1);
    assert_eq!(both(&[In { twin: "other", ..told("c") }, told("remove")]), 1);
    assert_eq!(both(&[told("back")]), 2, "behind the removal");
    assert_eq!(both(&[told("again"), told("panic")]), 2);
}

/// What a twin may be told, and what a group of epochs makes of it.
const WORDS: [&str; 8] = ["a", "longer", "ignore", "fail", "panic", "remove", "back", "no clone"];

proptest! {
    #[test]
    fn law_p4_groups_of_epochs_say_what_epochs_by_themselves_say(
        epochs in prop::collection::vec(
            (prop::collection::vec((0..4usize, 0..WORDS.len()), 0..6), any::<bool>()), 1..30),
    ) {
        let (mut shared, mut separate) = (Bench::sharing(QUIET), Bench::new(QUIET));
        for (rows, ends) in epochs {
            let row = |(twin, word): (usize, usize)| {
                In { twin: ["t", "u", "v", "w"][twin], ..told(WORDS[word]) }
            };
            let rows: Vec<_> = rows.into_iter().map(row).collect();
            shared.epoch(&rows);
            separate.epoch(&rows);
            if ends {
                shared.end_group();
                prop_assert_eq!(shared.recovered().dump(), separate.recovered().dump());
            }
        }
        prop_assert_eq!(shared.recovered().dump(), separate.recovered().dump());
    }
}

#[test]
fn law_p4_a_twin_that_changes_in_each_epoch_of_a_group_is_written_once() {
    let mut bench = Bench::sharing(QUIET);
    (0..5).for_each(|_| drop(bench.epoch(&[told("a"), In { twin: "u", ..told("b") }])));
    assert_eq!(written(&bench, EntryKind::State), 0);
    assert!(bench.shared_part().size() > bench.shared_part().bytes().len(), "they count already");
    assert!(!bench.shared_part().is_empty());
    let twins = bench.recovered().dump();
    assert_eq!(written(&bench, EntryKind::State), 2, "{twins:?}");
    assert_eq!(bench.shared_part().size(), bench.shared_part().bytes().len());
}

#[test]
fn law_p1_a_state_over_its_limit_fails_its_call_in_a_group_too() {
    let settings = ModelSettings { state_bytes_max: 20, ..ModelSettings::default() };
    let mut bench = Bench::sharing_with(QUIET, settings);
    // Its bound is over the limit, and its length is not.
    bench.epoch(&[told("a")]);
    assert_eq!(written(&bench, EntryKind::State), 1);
    bench.epoch(&[told("a word that is too long")]);
    assert_eq!(written(&bench, EntryKind::DeadLetter), 1);
    assert_eq!(bench.words().as_deref(), Some("new a"));
}

/// A state that can be written until somebody says that it cannot.
#[derive(Clone, Debug, Default, Deserialize)]
struct Fickle {}

static UNWILLING: AtomicBool = AtomicBool::new(false);

impl Serialize for Fickle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if UNWILLING.load(Ordering::Relaxed) {
            return Err(S::Error::custom("not any more"));
        }
        serializer.serialize_unit()
    }
}

impl TwinModel for Fickle {
    type Message<'m> = String;
}

struct Keep;

impl MessageProcessor for Keep {
    type Model = Fickle;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        _: &mut Fickle,
        _: Messages<'_, MessageOf<'_, Self>>,
    ) -> Result<Outcome, ProcessingError> {
        Ok(Outcome::Update)
    }
}

#[test]
fn a_state_that_cannot_be_written_any_more_is_no_silent_loss() {
    let mut bench = Bench::sharing(Keep);
    bench.epoch(&[told("a")]);
    UNWILLING.store(true, Ordering::Relaxed);
    let why = bench.write_owed().unwrap_err();
    assert!(why.contains("twin \"t\" of model \"log\"") && why.contains("not any more"), "{why}");
}
