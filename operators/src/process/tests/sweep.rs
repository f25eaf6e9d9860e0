//! What a sweep writes is what there is.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize, Serializer};
use twinflow_connectors::row::RowKind;

use super::bench::{Bench, In, Note, asked, replayed, told};
use crate::{
    context::ProcessingContext,
    message::Messages,
    model::{MessageProcessor, Outcome, ProcessingResult, TwinModel},
    store::{EntryKind, entries},
};

const GREETS: Note<false> = Note { greeting: Some("hello") };

#[test]
fn law_d2_a_sweep_alone_gives_back_everything_that_was_there() {
    sweep_alone(Bench::new(GREETS));
}

#[test]
fn law_d2_so_does_one_whose_epochs_share_a_part_with_those_that_change_twins() {
    sweep_alone(Bench::sharing(GREETS));
}

/// Twins with ids, dead letters and removals, and one made by hand.
fn fill(bench: &mut Bench) {
    for nth in 0..120 {
        let twin = &format!("twin-{nth}");
        let id = (nth % 3 == 0).then_some(twin.as_str());
        bench.epoch(&[In { twin, id, at: nth / 3, ..told("a") }]);
        if nth % 5 == 0 {
            bench.epoch(&[In { twin, ..told("fail") }]);
        }
        if nth % 4 == 0 {
            bench.epoch(&[In { twin, ..asked(RowKind::Remove) }]);
        }
    }
    bench.epoch(&[In { twin: "by-hand", ..asked(RowKind::Create) }]);
}

fn go_on(bench: &mut Bench) {
    bench.epoch(&[In { twin: "twin-1", ..told("late") }, told("new")]);
    bench.epoch(&[In { twin: "twin-2", ..asked(RowKind::Remove) }]);
    bench.epoch(&[In { twin: "twin-119", ..asked(RowKind::Remove) }]);
    bench.epoch(&[In { twin: "twin-4", ..told("again") }]);
}

fn sweep_alone(mut bench: Bench) {
    fill(&mut bench);
    let before = bench.recovered().dump();
    assert_eq!(before.iter().filter(|line| line.starts_with("id")).count(), 40);
    assert_eq!(before.iter().filter(|line| line.starts_with("twin")).count(), 91);
    assert_eq!(before.iter().filter(|line| line.starts_with("dead letter")).count(), 25);

    bench.begin_sweep();
    let mut epochs = 0;
    while !bench.swept() {
        bench.sweep();
        epochs += 1;
        if epochs == 20 {
            // Twins change, go and come while the sweep is under way.
            go_on(&mut bench);
        }
    }
    assert!(epochs > 30, "{epochs} epochs with 100 bytes each");
    let swept = bench.recovered().dump();

    // The same without a sweep.
    let mut whole = Bench::new(GREETS);
    fill(&mut whole);
    (0..20).for_each(|_| drop(whole.epoch(&[])));
    go_on(&mut whole);
    let is_of_source = |line: &&String| line.starts_with("feedback");
    let mut expected: Vec<_> =
        whole.recovered().dump().into_iter().filter(|line| !is_of_source(&line)).collect();
    expected.push(r#"name ((0, 0), "log")"#.to_owned());
    expected.sort_unstable();
    let swept: Vec<_> = swept.into_iter().filter(|line| !is_of_source(&line)).collect();
    for (swept, expected) in swept.iter().zip(&expected) {
        assert_eq!(swept, expected);
    }
    assert_eq!(swept.len(), expected.len());
}

#[test]
fn law_d2_a_sweep_keeps_the_number_of_a_dead_letter_that_went() {
    let mut bench = Bench::new(Note::<false> { greeting: None });
    bench.epoch(&[told("fail")]);
    bench.epoch(&[replayed(1, "a")]);
    bench.begin_sweep();
    while !bench.swept() {
        bench.sweep();
    }
    let recovered = bench.recovered();
    assert_eq!((recovered.dead_letters().count(), recovered.dead_letters_newest()), (0, 1));
}

#[test]
fn law_d10_an_epoch_rewrites_in_step_with_what_it_changes() {
    let mut bench = Bench::new(Note::<false> { greeting: None });
    for number in 0..2000 {
        bench.epoch(&[In { twin: &format!("twin-{number}"), ..told("a") }]);
    }
    bench.begin_sweep();
    let small = bench.epoch(&[told("b")]).result.part;
    let words: Vec<_> = (0..200).map(|number| format!("more-{number}")).collect();
    let rows: Vec<_> = words.iter().map(|twin| In { twin, ..told("c") }).collect();
    let large = bench.epoch(&rows).result.part;
    for part in [&small, &large] {
        // The time comes last.
        let changed = part.bytes().len() as u64 - part.swept().bytes - 22;
        let rewritten = part.swept().bytes;
        assert!((2 * changed..2 * changed + 300).contains(&rewritten), "{rewritten}, {changed}");
    }
    assert!(large.swept().bytes > 20 * small.swept().bytes);
}

/// Written only while it is allowed.
#[derive(Clone, Default, Deserialize)]
struct Shy(u8);

static SHY: AtomicBool = AtomicBool::new(false);

impl Serialize for Shy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!SHY.load(Ordering::Relaxed), "told not to");
        serializer.serialize_u8(self.0)
    }
}

impl TwinModel for Shy {
    type Message<'m> = String;
}

struct Keep;

impl MessageProcessor for Keep {
    type Model = Shy;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut Shy,
        _: Messages<'_, String>,
    ) -> ProcessingResult {
        twin.0 += 1;
        Ok(Outcome::Update)
    }
}

#[test]
fn law_d2_a_sweep_waits_for_a_state_that_cannot_be_written() {
    let mut bench = Bench::new(Keep);
    bench.epoch(&[told("a"), In { twin: "u", ..told("a") }]);
    bench.begin_sweep();
    SHY.store(true, Ordering::Relaxed);
    (0..10).for_each(|_| bench.sweep());
    assert!(!bench.swept());
    SHY.store(false, Ordering::Relaxed);
    (0..10).for_each(|_| bench.sweep());
    assert!(bench.swept());
    let written = bench.written();
    let states = entries(written.bytes()).filter(|it| it.unwrap().kind == EntryKind::State);
    assert_eq!(states.count(), 2);
}
