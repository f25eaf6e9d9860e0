//! Every planted mistake is caught: a checker that was never seen to fail is not trusted.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use twinflow::connectors::mistakes::{Mistake, plant};

use crate::{
    damage, late,
    world::{Counted, World},
    zombies,
};

/// A mistake is planted in the whole process, so nothing else runs meanwhile.
static ALONE: RwLock<()> = RwLock::new(());

/// Keeps mistakes away.
pub(crate) fn honest() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until the mistake is seen, at most this many.
fn caught(mistake: Mistake, runs: impl Iterator<Item = Result<(), String>>) -> String {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    plant(Some(mistake));
    let mut runs = (1..).zip(runs);
    let found = runs.find_map(|(nth, run)| run.err().map(|why| format!("run {nth}: {why}")));
    plant(None);
    let found = found.unwrap_or_else(|| panic!("{mistake:?} was not caught"));
    println!("{mistake:?}: {found}");
    found
}

/// Runs with two crashes each, in steps that are spread over a life.
fn crashing() -> impl Iterator<Item = Result<(), String>> {
    (0..600).map(|nth| {
        let crashes = [40 + nth * 31 % 260, 20 + nth * 17 % 200];
        World::new(5000 + nth).run(&crashes, &mut Counted::default())
    })
}

#[test]
fn an_acknowledgement_before_its_epoch_is_durable_is_caught() {
    let is_named =
        |why: &String| why.contains("C4") || why.contains("C7") || why.contains("acknowledged");
    // Feedback leaves too early with it and may be seen first (C6): such a run proves nothing here.
    let runs =
        crashing().map(|run| run.or_else(|why| if is_named(&why) { Err(why) } else { Ok(()) }));
    let why = caught(Mistake::AcknowledgeBeforeDurable, runs);
    assert!(is_named(&why), "{why}");
}

#[test]
fn feedback_before_its_epoch_is_committed_is_caught() {
    let why = caught(Mistake::FeedbackBeforeCommit, crashing());
    assert!(why.contains("C6"), "{why}");
}

#[test]
fn positions_folded_by_the_last_and_not_the_largest_are_caught() {
    caught(Mistake::PositionsByLast, crashing());
}

#[test]
fn a_replay_filter_that_lets_everything_pass_is_caught() {
    caught(Mistake::NoReplayFilter, crashing());
}

#[test]
fn states_of_a_group_that_are_written_in_the_next_one_are_caught() {
    caught(Mistake::StatesWrittenLate, crashing());
}

#[test]
fn ids_that_a_sweep_leaves_out_are_caught() {
    caught(Mistake::IdsNotSwept, crashing());
}

/// Runs with zombies.
fn haunting() -> impl Iterator<Item = Result<(), String>> {
    zombies::haunting(600).map(|(_, verdict, _)| verdict)
}

#[test]
fn a_fenced_generation_that_goes_on_is_caught() {
    let why = caught(Mistake::FencedGoesOn, haunting());
    assert!(why.contains("told by a zombie") || why.contains("C6"), "{why}");
}

/// Pairs of steps of two processes. When exactly a write comes late is a matter of threads, so that
/// one pair in a few hundred sees some mistakes: all of them are tried again until one does.
fn late() -> impl Iterator<Item = Result<(), String>> {
    (0..12).flat_map(|_| late::late())
}

#[test]
fn a_generation_that_is_taken_after_reading_is_caught() {
    caught(Mistake::ClaimAfterReading, late());
}

#[test]
fn a_segment_in_the_place_of_another_is_caught() {
    caught(Mistake::SegmentsReplaced, late());
}

#[test]
fn late_frames_that_count_are_caught() {
    caught(Mistake::LateFramesCount, late());
}

#[test]
fn a_proof_that_is_not_looked_at_is_caught() {
    let why = caught(Mistake::ProofNotLookedAt, damage::flips(8000));
    assert!(why.contains("silently"), "{why}");
}
