//! W1 with a declared message type: the same function, its messages read in one scan.
//!
//! Estimate: 60-90 ns for reading a message of 100 bytes, against 225-255 by `serde_json`;
//! measured were 0.6 of that (`bin/extract.rs`).

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use twinflow::prelude::*;

use super::models::Outputs;
use crate::w1;

/// A message of W1 with all the fields that the limit reads.
#[derive(Debug, TwinMessage)]
#[expect(dead_code, reason = "the function uses two fields; the limit reads all of them, too")]
pub(super) struct Reading<'m> {
    ts: i64,
    #[serde(default)]
    seq: u64,
    value: f64,
    #[serde(default)]
    unit: Cow<'m, str>,
    #[serde(default)]
    status: Cow<'m, str>,
    #[serde(default)]
    src: Cow<'m, str>,
}

/// The state of one twin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State(w1::State);

impl TwinModel for State {
    type Message<'m> = Reading<'m>;
}

/// W1.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) outputs: Arc<Outputs>,
}

impl MessageProcessor for Declared {
    type Model = State;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut State,
        readings: Messages<'_, Reading<'_>>,
    ) -> ProcessingResult {
        for reading in readings {
            if let Some(alert) = twin.0.take(reading.ts, reading.value) {
                self.outputs.alert(&alert, cx.twin());
            }
        }
        Ok(Outcome::Update)
    }
}
