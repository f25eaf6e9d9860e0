//! A twin on which grouping makes no difference: one message after the other, whatever the call.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use twinflow::prelude::*;

use crate::common::{Act, Step};

/// What is applied, and how often the twin was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Log {
    pub(super) numbers: Vec<u64>,
    pub(super) initialized: u64,
}

impl TwinModel for Log {
    type Message<'m> = Step;
}

/// The reply to a message: its number, which call it was, and how many messages that call had.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) n: u64,
    pub(super) call: u64,
    pub(super) of: usize,
}

/// Notes every message and sees whether two calls of one twin ever overlap.
#[derive(Clone, Default)]
pub(super) struct Note {
    called: Arc<Mutex<HashSet<String>>>,
    calls: Arc<AtomicU64>,
    pub(super) overlaps: Arc<AtomicU64>,
}

/// A call that goes on; over when dropped, also by a panic.
struct Going<'a>(&'a Note, String);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.called.lock().unwrap().remove(&self.1);
    }
}

impl Note {
    fn going(&self, twin: &str) -> Going<'_> {
        if !self.called.lock().unwrap().insert(twin.to_owned()) {
            self.overlaps.fetch_add(1, Ordering::Relaxed);
        }
        Going(self, twin.to_owned())
    }
}

impl MessageProcessor for Note {
    type Model = Log;

    fn initialize(
        &self,
        _cx: &mut ProcessingContext<'_>,
        twin: &mut Log,
    ) -> Result<(), ProcessingError> {
        twin.initialized += 1;
        Ok(())
    }

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Log,
        steps: Messages<'_, Step>,
    ) -> ProcessingResult {
        let _going = self.going(cx.twin());
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut outcome = Outcome::NoUpdate;
        for step in steps {
            if outcome == Outcome::Remove && step.act != Act::NoUpdate {
                *twin = Log::default();
                self.initialize(cx, twin)?;
            }
            match step.act {
                Act::NoUpdate => continue,
                Act::Fail => return Err(ProcessingError::message(format!("{} is bad", step.n))),
                Act::Panic => panic!("{} is worse", step.n),
                Act::Remove => {
                    outcome = Outcome::Remove;
                    continue;
                }
                Act::Reply => {
                    cx.send_to_data_source(&Reply { n: step.n, call, of: steps.len() })?;
                }
                Act::Count => {}
            }
            twin.numbers.push(step.n);
            outcome = Outcome::Update;
        }
        Ok(outcome)
    }
}
