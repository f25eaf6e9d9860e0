//! Any rows in any epochs, against a sequential oracle of a few lines.

use proptest::prelude::*;
use twinflow_connectors::row::RowKind;

use super::{
    super::ModelSettings,
    bench::{Bench, In, Note, asked, told},
};

const WORDS: [&str; 6] = ["a", "b", "say", "ignore", "fail", "remove"];

/// A twin as the laws describe it.
#[derive(Default)]
struct Oracle(Option<Vec<&'static str>>);

impl Oracle {
    /// Law P2: a group, and if it fails its messages one by one.
    fn messages(&mut self, words: &[&'static str]) {
        if words.len() > 1 && !words.contains(&"fail") {
            return self.call(words);
        }
        words.iter().for_each(|word| self.call(&[*word]));
    }

    fn call(&mut self, words: &[&'static str]) {
        let last = words.iter().rev().find(|word| ["ignore", "remove"].contains(*word));
        if words.contains(&"fail") || last == Some(&"ignore") {
            return;
        }
        let mut state = self.0.take().unwrap_or_else(|| vec!["new"]);
        state.extend(words);
        self.0 = Some(state).filter(|_| last.is_none());
    }

    fn request(&mut self, kind: RowKind) {
        match kind {
            RowKind::Create => _ = self.0.get_or_insert_with(|| vec!["new"]),
            RowKind::Remove => self.0 = None,
            _ => {}
        }
    }

    /// Requests before the first message come first, the others last.
    fn epoch(&mut self, rows: &[In<'static>]) {
        let is_message = |row: &In<'_>| row.kind == RowKind::Message;
        let first = rows.iter().position(is_message).unwrap_or(rows.len());
        rows[..first].iter().for_each(|row| self.request(row.kind));
        let messages = rows.iter().filter(|row| is_message(row));
        self.messages(&messages.map(|row| row.word).collect::<Vec<_>>());
        rows[first..].iter().for_each(|row| self.request(row.kind));
    }

    fn words(&self) -> Option<String> {
        self.0.as_ref().map(|words| words.join(" "))
    }
}

fn row() -> impl Strategy<Value = In<'static>> {
    prop_oneof![
        8 => (0..WORDS.len()).prop_map(|word| told(WORDS[word])),
        1 => Just(asked(RowKind::Create)),
        1 => Just(asked(RowKind::Remove)),
        1 => Just(asked(RowKind::Read)),
    ]
}

fn restarted(bench: Bench) -> Bench {
    let note = Note::<true> { greeting: None };
    Bench::with(note, ModelSettings::default(), bench.written())
}

proptest! {
    #[test]
    fn laws_p1_p2_p4_p8_any_epochs_leave_what_the_oracle_says_and_so_does_a_restart(
        epochs in prop::collection::vec(prop::collection::vec(row(), 1..8), 1..12)
    ) {
        let mut oracle = Oracle::default();
        let mut by_clone = Bench::new(Note::<false> { greeting: None });
        let mut by_encoded = Bench::new(Note::<true> { greeting: None });
        for rows in &epochs {
            oracle.epoch(rows);
            by_clone.epoch(rows);
            by_encoded.epoch(rows);
            prop_assert_eq!(by_clone.words(), oracle.words());
            prop_assert_eq!(by_encoded.words(), oracle.words());
        }
        prop_assert_eq!(by_clone.recovered().twins_total(), usize::from(oracle.0.is_some()));
        prop_assert_eq!(restarted(by_clone).words(), oracle.words());
        prop_assert_eq!(restarted(by_encoded).words(), oracle.words());
    }
}
