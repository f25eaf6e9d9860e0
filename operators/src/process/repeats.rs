//! Messages with ids: which were handled before, and what their senders are told (law D5).

use twinflow_connectors::{
    answer::StoredAnswer,
    link::OutcomeKind,
    route::body_hash,
    row::{Row, RowKind},
};

use super::{
    call::Calls,
    ids::{Handled, id_key, put_id},
    model_worker::TypedModel,
    pending::PendingId,
    scope::{EpochScope, place_of},
    twin_run::TwinRun,
};
use crate::{dead_letter::DeadLetterKind, model::MessageProcessor};

impl<'e, P: MessageProcessor> TwinRun<'e, P> {
    /// Whether the message's id was handled or is being handled; then it is answered (law D5).
    pub(super) fn repeats(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        id: &[u8],
        keep_secs: u64,
    ) -> bool {
        let connection = self.slots[usize::from(row.origin())].place.connection_number;
        let key = id_key(row.id(), connection, id);
        // A pipeline may make another body of the same one each time it comes.
        let sent = row.attributes().body_hash();
        let body_hash = sent.unwrap_or_else(|| body_hash(row.payload()));
        let kind = if let Some(handled) = model.ids.get(&key) {
            if handled.body_hash == body_hash {
                OutcomeKind::Repeated(handled.answer.clone())
            } else {
                OutcomeKind::KeyOtherBody
            }
        } else if let Some(same) = self.pending.find(&key) {
            if same.body_hash == body_hash {
                OutcomeKind::KeyInProgress
            } else {
                OutcomeKind::KeyOtherBody
            }
        } else {
            let message = self.values.len();
            self.pending.push(PendingId { message, key, body_hash, keep_secs });
            return false;
        };
        if kind == OutcomeKind::KeyOtherBody && !scope.answers(row) {
            // It may be news, and nobody waits to be told that it was not applied.
            let reason = "its id was used before with another body";
            self.reject(model, scope, row, DeadLetterKind::Failed, reason, 1);
        } else {
            scope.outcome(row, kind);
            self.counts.repeated += 1;
        }
        true
    }

    /// The answer that is stored with the id of a message that was applied.
    pub(super) fn answer(
        &self,
        scope: &EpochScope<'_>,
        message: usize,
        calls: &Calls,
    ) -> StoredAnswer {
        let mut answer = StoredAnswer::applied(scope.epoch);
        // So are records; the first that ends behind the message has it, or it failed.
        let at = calls.records.partition_point(|record| record.messages.end <= message);
        let call = calls.records.get(at).filter(|record| record.messages.contains(&message));
        let Some(call) = call.filter(|call| !call.feedback.is_empty()) else { return answer };
        // A replay at the end of the call has no request that the feedback could answer.
        let is_message = |at: &usize| self.rows[*at].kind() == RowKind::Message;
        let Some(last) = call.messages.clone().rev().find(is_message) else { return answer };
        if message == last {
            for index in call.feedback.clone() {
                answer.push_reply(calls.feedback.get(index));
            }
        } else {
            let place =
                |message: usize| (self.rows[message].origin(), place_of(self.rows[message]).0);
            answer.merged = place(message) != place(last);
        }
        answer
    }
}

/// Stores an id with its answer.
pub(super) fn remember<P: MessageProcessor>(
    model: &mut TypedModel<P>,
    scope: &mut EpochScope<'_>,
    pending: PendingId,
    answer: &StoredAnswer,
) {
    let handled = Handled {
        forget_at: scope.now.plus_secs(pending.keep_secs),
        body_hash: pending.body_hash,
        answer: answer.encode(),
    };
    if scope.encode {
        put_id(scope.part, model.number, &pending.key, &handled);
    }
    model.ids.put(pending.key, handled);
}
