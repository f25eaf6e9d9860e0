//! What the tests of all stock models need.

use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{journal::JournalWriter, shadow::ShadowMerge, wind_turbine::BearingWatch};
use crate::prelude::*;

/// A later version of a model's state: one more field.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Later<M> {
    #[serde(flatten)]
    state: M,
    #[serde(default)]
    added: u32,
}

/// The state is the same after it was stored and loaded, also by a program whose state type has one
/// more field with `#[serde(default)]` (case 13).
pub(super) fn assert_stored_form_comes_back<M: TwinModel + Debug + PartialEq>(state: &M) {
    let stored = rmp_serde::to_vec_named(state).unwrap();
    assert_eq!(&RawState::new(&stored).deserialize::<M>().unwrap(), state);
    let later: Later<M> = RawState::new(&stored).deserialize().unwrap();
    assert_eq!((&later.state, later.added), (state, 0));
    let stored = rmp_serde::to_vec_named(&Later { state: state.clone(), added: 7 }).unwrap();
    assert_eq!(&RawState::new(&stored).deserialize::<M>().unwrap(), state, "an older program");
}

/// The state and everything sent when these payloads come in groups of these sizes, repeated.
fn in_groups<P: MessageProcessor>(
    processor: P,
    payloads: &[String],
    sizes: &[usize],
) -> (P::Model, Vec<serde_json::Value>) {
    let mut twin = TestTwin::new(processor);
    let mut feedback = Vec::new();
    let (mut rest, mut sizes) = (payloads, sizes.iter().cycle());
    while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
        let (group, later) = rest.split_at((*size).clamp(1, rest.len()));
        let group: Vec<_> = group.iter().map(String::as_str).collect();
        feedback.extend(twin.call(&group).feedback);
        rest = later;
    }
    (twin.state, feedback)
}

proptest! {
    #[test]
    fn how_messages_are_grouped_makes_no_difference_to_state_and_commands(
        numbers in prop::collection::vec(90u32..100, 1..60),
        sizes in prop::collection::vec(1usize..9, 1..5),
    ) {
        let payload = |number: &u32| match number {
            99 => "not JSON".to_owned(),
            98 => "{}".to_owned(),
            _ => format!(r#"{{"bearing_celsius":{number},"id":"{number}","p{number}":{number}}}"#),
        };
        let payloads: Vec<_> = numbers.iter().map(payload).collect();
        let turbine = |sizes| in_groups(BearingWatch::default(), &payloads, sizes);
        prop_assert_eq!(turbine(&[1]), turbine(&sizes));
        let journal = |sizes| in_groups(JournalWriter::default(), &payloads, sizes);
        prop_assert_eq!(journal(&[1]), journal(&sizes));
        let shadow = |sizes| in_groups(ShadowMerge {}, &payloads, sizes);
        prop_assert_eq!(shadow(&[1]), shadow(&sizes));
    }
}
