//! A twin that notes what is applied to it, on which grouping makes no difference.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};
use twinflow::prelude::*;

/// What a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Count,
    Reply,
    /// Fails until that is mended.
    Fail,
    NoUpdate,
    Remove,
}

/// A message as it is sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) n: u64,
    pub(crate) act: Act,
}

/// The numbers of the messages that were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) applied: Vec<u64>,
}

impl TwinModel for Log {
    type Message<'m> = Step;
}

/// The reply to a message: its number, and its place among what was applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) n: u64,
    pub(crate) at: usize,
}

/// One message on a twin that is or is not there: the reference.
pub(crate) fn apply(twin: &mut Option<Log>, Step { n, act }: Step, healed: bool) {
    match act {
        Act::NoUpdate => {}
        Act::Fail if !healed => {}
        Act::Remove => *twin = None,
        Act::Count | Act::Reply | Act::Fail => twin.get_or_insert_default().applied.push(n),
    }
}

/// The processor.
#[derive(Clone, Default)]
pub(crate) struct Note {
    pub(crate) healed: Arc<AtomicBool>,
}

impl MessageProcessor for Note {
    type Model = Log;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Log,
        steps: Messages<'_, Step>,
    ) -> ProcessingResult {
        let mut outcome = Outcome::NoUpdate;
        for Step { n, act } in steps.iter().copied() {
            if outcome == Outcome::Remove && act != Act::NoUpdate {
                *twin = Log::default();
            }
            match act {
                Act::NoUpdate => continue,
                Act::Remove => {
                    outcome = Outcome::Remove;
                    continue;
                }
                Act::Fail if !self.healed.load(Ordering::SeqCst) => {
                    return Err(ProcessingError::message(format!("{n} is bad")));
                }
                Act::Reply => {
                    let at = twin.applied.len();
                    cx.send_to_data_source(&Reply { n, at })?;
                }
                Act::Count | Act::Fail => {}
            }
            twin.applied.push(n);
            outcome = Outcome::Update;
        }
        Ok(outcome)
    }
}
