//! What the tests of all stock models need.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

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
