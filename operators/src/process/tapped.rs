//! What a tap is told of a twin: gathered around its calls, and only when one is open.

use std::sync::Arc;

use twinflow_connectors::row::{Row, RowKind};

use super::{
    call::Calls,
    model_worker::{TypedModel, state_json},
    scope::EpochScope,
    table::NO_ROW,
    twin_run::TwinRun,
};
use crate::{
    model::MessageProcessor,
    tap::{Tap, TappedCall, TappedMessage},
};

/// The taps on a model in one epoch, and what failed of the twin that is worked off.
#[derive(Default)]
pub(super) struct Looking {
    taps: Vec<Arc<Tap>>,
    /// Origin and position of a row, and why it was not applied.
    failed: Vec<(u16, u64, String)>,
}

/// A twin before its calls.
pub(super) struct Seen {
    twin: String,
    before: Option<Vec<u8>>,
    first: u32,
}

impl Looking {
    pub(super) fn new(taps: Vec<Arc<Tap>>) -> Self {
        Self { taps, failed: Vec::new() }
    }

    /// Nobody looks on: the rule.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.taps.is_empty()
    }

    #[cold]
    pub(super) fn note_failed(&mut self, row: Row<'_>, reason: &str) {
        self.failed.push((row.origin(), row.position(), reason.to_owned()));
    }

    fn reason(&self, row: Row<'_>) -> Option<String> {
        let mut failed = self.failed.iter();
        let of_row = |(origin, position, _): &&(u16, u64, String)| {
            (*origin, *position) == (row.origin(), row.position())
        };
        failed.find(of_row).map(|(_, _, reason)| reason.clone())
    }
}

impl<P: MessageProcessor> TwinRun<'_, P> {
    /// Looks at a twin before its calls, if a tap is on it.
    #[cold]
    pub(super) fn look(&mut self, model: &TypedModel<P>, index: u32, first: u32) -> Option<Seen> {
        let slot = model.table.slot(index);
        if !self.looking.taps.iter().any(|tap| tap.is_on(&slot.id)) {
            return None;
        }
        self.looking.failed.clear();
        let before = slot.state.as_ref().map(state_json);
        Some(Seen { twin: slot.id.to_string(), before, first })
    }

    /// Looks at it after them and tells the taps.
    #[cold]
    pub(super) fn tell_taps(
        &self,
        model: &TypedModel<P>,
        scope: &EpochScope<'_>,
        index: u32,
        seen: Seen,
        calls: &Calls,
    ) {
        let Seen { twin, before, first } = seen;
        let messages = self.messages_seen(model, first);
        let after = model.table.slot(index).state.as_ref().map(state_json);
        if messages.is_empty() && before == after {
            // It was only read.
            return;
        }
        let feedback = (0..calls.feedback.len()).map(|at| calls.feedback.get(at).to_vec());
        let (epoch, at, calls, feedback) = (scope.epoch, scope.now, calls.made, feedback.collect());
        let call = TappedCall { twin, epoch, at, calls, messages, before, after, feedback };
        for tap in self.looking.taps.iter().filter(|tap| tap.is_on(&call.twin)) {
            tap.tell(call.clone());
        }
    }

    fn messages_seen(&self, model: &TypedModel<P>, first: u32) -> Vec<TappedMessage> {
        let mut messages = Vec::new();
        let mut number = first;
        while number != NO_ROW {
            let row = model.row(self.frames, number);
            number = model.rows[number as usize].next;
            if matches!(row.kind(), RowKind::Message | RowKind::Replay) {
                let slot = self.slots.get(usize::from(row.origin()));
                messages.push(TappedMessage {
                    connection: slot.map_or_else(String::new, |it| it.place.connection.to_string()),
                    received_at: row.received_at(),
                    format: row.format(),
                    payload: row.payload().to_vec(),
                    failed: self.looking.reason(row),
                });
            }
        }
        messages
    }
}
