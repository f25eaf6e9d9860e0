//! Dead letters that are replayed: messages by another door (law D5).
//!
//! A replayed message is decoded, grouped and called like any other. It is no news of its data
//! source: it moves no route, and what the twin sends goes where its last message came from. When
//! it fails again its dead letter stays; otherwise that goes in the same frame.

use twinflow_connectors::{link::OutcomeKind, row::Row};

use super::{
    call::{CallRecord, Calls},
    model_worker::TypedModel,
    scope::{EpochScope, Sender},
    twin_run::TwinRun,
};
use crate::{message::MessageInfo, model::MessageProcessor};

impl<'e, P: MessageProcessor> TwinRun<'e, P> {
    /// A message that comes once more, whatever its id and its position are.
    pub(super) fn replay(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
    ) {
        let attributes = row.attributes();
        let Some((_, connection)) =
            attributes.dead_letter().filter(|_| scope.take_dead_letter(row))
        else {
            return scope.outcome(row, OutcomeKind::DeadLetterGone(false));
        };
        let before = self.values.len();
        let info = MessageInfo::new(connection, row.received_at(), row.format(), attributes);
        self.decode(model, scope, row, info);
        if self.values.len() > before {
            self.replays.push(before);
        }
    }

    /// Those that did not fail are gone.
    pub(super) fn end_replays(
        &mut self,
        scope: &mut EpochScope<'_>,
        failed: impl Fn(usize) -> bool,
    ) {
        for message in self.replays.drain(..).filter(|message| !failed(*message)) {
            scope.dead_letter_gone(self.rows[message]);
        }
    }

    /// Feedback of a call that had replayed messages only: to the data source as it is known.
    pub(super) fn send_by_route(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        (index, id): (u32, &str),
        record: &CallRecord,
        calls: &Calls,
    ) {
        self.counts.feedback += record.feedback.len() as u64;
        let route = model.routes.get(model.table.slot(index).route);
        let mut places = self.slots.iter().map(|slot| &slot.place);
        let to = route.and_then(|route| {
            let place = places.find(|place| place.connection_number == route.connection)?;
            Some((place.feedback_slot(id), route.names.clone()))
        });
        let Some((to, names)) = to else {
            for feedback in record.feedback.clone() {
                scope.feedback_without_source(&model.name, id, calls.feedback.get(feedback));
            }
            return;
        };
        let sender = Sender { model: model.number, twin: id, cause: None, names };
        scope.hand_out(to, &sender, record, calls);
    }
}
