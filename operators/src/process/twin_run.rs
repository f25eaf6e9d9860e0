//! What one epoch does to one twin: set aside, call, write, answer.

use std::sync::Arc;

use twinflow_connectors::{
    answer::StoredAnswer,
    frame::FrameView,
    link::{OutboxEntry, OutcomeKind, Slot},
    route::{body_hash, bucket, twin_hash},
    row::{Row, RowKind},
};

use super::{
    call::{CallRecord, Calls, call_twin, create},
    guard::{chain, guarded},
    ids::{Handled, id_key, twin_of_key},
    model_worker::{TypedModel, state_json},
    scope::{EpochScope, Rejection, place_of},
    settings::OnFailure,
    statistics::EpochCounts,
    table::NO_ROW,
};
use crate::{
    dead_letter::DeadLetterKind,
    message::{MessageInfo, RawMessage, TwinMessage},
    model::{MessageOf, MessageProcessor, Rollback, TwinModel},
    store::EntryKind,
};

/// A message id that waits for its answer.
struct PendingId {
    /// Index of its message among the values.
    message: usize,
    key: Vec<u8>,
    body_hash: u64,
    keep_secs: u64,
}

/// Buffers of one epoch of one model, reused from twin to twin.
pub(super) struct TwinRun<'e, P: MessageProcessor> {
    frames: &'e [FrameView<'e>],
    slots: &'e [Arc<Slot>],
    values: Vec<MessageOf<'e, P>>,
    infos: Vec<MessageInfo<'e>>,
    /// Per value its row.
    rows: Vec<Row<'e>>,
    pending: Vec<PendingId>,
    /// Requests that came before the first message, and those that came later.
    before: Vec<Row<'e>>,
    after: Vec<Row<'e>>,
    counts: EpochCounts,
}

impl<'e, P: MessageProcessor> TwinRun<'e, P> {
    pub(super) fn new(frames: &'e [FrameView<'e>], slots: &'e [Arc<Slot>]) -> Self {
        Self {
            frames,
            slots,
            values: Vec::new(),
            infos: Vec::new(),
            rows: Vec::new(),
            pending: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            counts: EpochCounts::default(),
        }
    }

    pub(super) fn finish(self) -> EpochCounts {
        self.counts
    }

    /// Works off the rows of one twin.
    pub(super) fn twin(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        (index, hash): (u32, u64),
        calls: &mut Calls,
    ) {
        let slot = model.table.slot_mut(index);
        let first = std::mem::replace(&mut slot.first, NO_ROW);
        let mut state = slot.state.take();
        let existed = state.is_some();
        let id = model.row(self.frames, first).id();
        calls.clear();
        self.set_aside(model, scope, first, existed);

        let mut changed = false;
        for row in std::mem::take(&mut self.before) {
            changed |= self.request(model, scope, row, id, &mut state, calls);
        }
        if !self.values.is_empty() {
            self.call(model, scope, index, id, &mut state, calls);
            changed |= calls.changed;
        }
        for row in std::mem::take(&mut self.after) {
            changed |= self.request(model, scope, row, id, &mut state, calls);
        }
        self.write(model, scope, (index, hash), id, &state, existed, changed, calls);
        self.counts.calls += calls.made;
        let exists = state.is_some();
        model.table.slot_mut(index).state = state;
        self.counts.created += u64::from(exists && !existed);
        self.counts.removed += u64::from(existed && !exists);
        if !exists {
            model.saved.remove(&index);
            model.table.remove(index);
        }
    }

    /// Sorts the rows of the twin: requests before and after the first message, messages to call,
    /// repetitions and undecodable ones (law P3).
    fn set_aside(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        first: u32,
        existed: bool,
    ) {
        self.values.clear();
        self.infos.clear();
        self.rows.clear();
        self.pending.clear();
        let full = !existed && is_full(model, &self.counts);
        let mut number = first;
        let mut met_message = false;
        while number != NO_ROW {
            let row = model.row(self.frames, number);
            number = model.next[number as usize];
            match row.kind() {
                RowKind::Message if full => self.too_many_twins(model, scope, row),
                RowKind::Message => {
                    met_message = true;
                    self.message(model, scope, row);
                }
                RowKind::Read => self.after.push(row),
                _ if met_message => self.after.push(row),
                _ => self.before.push(row),
            }
        }
    }

    fn too_many_twins(&mut self, model: &TypedModel<P>, scope: &mut EpochScope<'_>, row: Row<'e>) {
        let reason = format!(
            "the model has {} twins, its limit; no new ones are made",
            model.settings.twins_max
        );
        self.reject(model, scope, row, DeadLetterKind::Failed, &reason, 1);
    }

    #[inline]
    fn message(&mut self, model: &mut TypedModel<P>, scope: &mut EpochScope<'_>, row: Row<'e>) {
        let place = &self.slots[usize::from(row.origin())].place;
        let attributes = row.attributes();
        if let Some(keep_secs) = place.dedupe_keep_secs
            && let Some(id) = attributes.message_id()
            && self.repeats(model, scope, row, id, keep_secs)
        {
            return;
        }
        let info = MessageInfo::new(&place.connection, row.received_at(), row.format(), attributes);
        let raw = RawMessage { payload: row.payload(), info };
        // The value goes to its place inside the guard: out of it, it would be moved three times.
        let values = &mut self.values;
        let decoded = guarded(|| MessageOf::<'e, P>::decode(raw).map(|value| values.push(value)));
        let reason = match decoded {
            Ok(Ok(())) => {
                self.infos.push(info);
                self.rows.push(row);
                return;
            }
            Ok(Err(error)) => chain(&error),
            Err(panic) => panic,
        };
        let pending = self.pending.pop_if(|pending| pending.message == self.values.len());
        let number = self.reject(model, scope, row, DeadLetterKind::Undecodable, &reason, 1);
        if let Some(pending) = pending {
            let answer = StoredAnswer::rejected(scope.epoch, number, &reason);
            remember(model, scope, pending, &answer);
        }
    }

    /// Whether the message's id was handled or is being handled; then it is answered (law D5).
    fn repeats(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        id: &[u8],
        keep_secs: u64,
    ) -> bool {
        let connection = self.slots[usize::from(row.origin())].place.connection_number;
        let key = id_key(row.id(), connection, id);
        let body_hash = body_hash(row.payload());
        let kind = if let Some(handled) = model.ids.get(&key) {
            if handled.body_hash == body_hash {
                OutcomeKind::Repeated(handled.answer.clone())
            } else {
                OutcomeKind::KeyOtherBody
            }
        } else if let Some(same) = self.pending.iter().find(|pending| pending.key == key) {
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
        scope.outcome(row, kind);
        self.counts.repeated += 1;
        true
    }

    /// Calls the processor and sees to failures, ids and feedback.
    fn call(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        index: u32,
        id: &str,
        state: &mut Option<P::Model>,
        calls: &mut Calls,
    ) {
        let saved = model.saved.get(&index).map(|bytes| &**bytes);
        let site = model.site(id, scope.now, true);
        call_twin(&site, state, saved, &self.values, &self.infos, calls);
        self.counts.messages += (self.values.len() - calls.failures.len()) as u64;
        let mut rejected = Vec::new();
        for failure in std::mem::take(&mut calls.failures) {
            let row = self.rows[failure.message];
            let kind = DeadLetterKind::Failed;
            let number = self.reject(model, scope, row, kind, &failure.reason, failure.attempts);
            rejected.push((failure.message, number, failure.reason));
        }
        for record in calls.records.iter().filter(|record| !record.feedback.is_empty()) {
            self.send(model, scope, id, record, calls);
        }
        for pending in std::mem::take(&mut self.pending) {
            let failed = rejected.iter().find(|(message, ..)| *message == pending.message);
            let answer = match failed {
                Some((_, number, reason)) => StoredAnswer::rejected(scope.epoch, *number, reason),
                None => self.answer(scope, pending.message, calls),
            };
            remember(model, scope, pending, &answer);
        }
        if state.is_some() {
            self.follow_route(model, scope, index, id);
        }
    }

    /// Feedback of one call: to the data source of its last message (law P7).
    fn send(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        id: &str,
        record: &CallRecord,
        calls: &Calls,
    ) {
        let last = self.rows[record.messages.end - 1];
        let place = &self.slots[usize::from(last.origin())].place;
        let to = if place.answers {
            last.origin()
        } else {
            // Feedback of a twin always leaves by the same slot of its connection (law S1).
            let number = usize::from(bucket(twin_hash(id.as_bytes())));
            last.origin() - place.number as u16 + (number % place.slots) as u16
        };
        let cause = place.answers.then(|| place_of(last).0);
        for index in record.feedback.clone() {
            let names = last.attributes().names();
            let entry = OutboxEntry {
                id: scope.feedback_id(index),
                model: model.number,
                twin: id.to_owned(),
                cause,
                names: names.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                payload: calls.feedback.get(index).to_vec(),
                created_at: scope.now,
            };
            scope.feedback(to, entry);
        }
        self.counts.feedback += record.feedback.len() as u64;
        for message in record.messages.clone() {
            let row = self.rows[message];
            let same_request = row.origin() == last.origin() && place_of(row).0 == place_of(last).0;
            if !same_request {
                scope.outcome(row, OutcomeKind::Merged);
            }
        }
    }

    /// The answer that is stored with the id of a message that was applied.
    fn answer(&self, scope: &EpochScope<'_>, message: usize, calls: &Calls) -> StoredAnswer {
        let mut answer = StoredAnswer::applied(scope.epoch);
        let call = calls.records.iter().find(|record| record.messages.contains(&message));
        let Some(call) = call.filter(|call| !call.feedback.is_empty()) else { return answer };
        if message + 1 == call.messages.end {
            for index in call.feedback.clone() {
                answer.push_reply(calls.feedback.get(index));
            }
        } else {
            let place =
                |message: usize| (self.rows[message].origin(), place_of(self.rows[message]).0);
            answer.merged = place(message) != place(call.messages.end - 1);
        }
        answer
    }

    /// The twin's data source is where its last message came from (law D4).
    fn follow_route(
        &self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        index: u32,
        id: &str,
    ) {
        let Some(last) = self.rows.last() else { return };
        let connection = self.slots[usize::from(last.origin())].place.connection_number;
        let current = model.table.slot(index).route;
        if let Some(number) = model.routes.moved(current, connection, last.attributes()) {
            model.table.slot_mut(index).route = number;
            if scope.encode
                && let Some(route) = model.routes.get(number)
            {
                let bucket = bucket(twin_hash(id.as_bytes()));
                let (key, value) = (id.as_bytes(), route.encode());
                scope.part.put(EntryKind::Route, bucket, model.number, key, &value);
            }
        }
    }

    /// Create, remove or read; says whether the state changed.
    fn request(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        id: &str,
        state: &mut Option<P::Model>,
        calls: &mut Calls,
    ) -> bool {
        match row.kind() {
            RowKind::Read => {
                let answer = OutcomeKind::State(state.as_ref().map(state_json));
                scope.outcome(row, answer);
                false
            }
            RowKind::Remove => {
                let was_there = state.take().is_some();
                scope.outcome(row, OutcomeKind::Removed(was_there));
                was_there
            }
            RowKind::Create if state.is_none() => self.create(model, scope, row, id, state, calls),
            RowKind::Create => {
                scope.outcome(row, OutcomeKind::Created(false));
                false
            }
            _ => false,
        }
    }

    fn create(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        id: &str,
        state: &mut Option<P::Model>,
        calls: &mut Calls,
    ) -> bool {
        let sent = calls.feedback.len();
        match create(&model.site(id, scope.now, false), state, calls) {
            Ok(()) => {
                for index in sent..calls.feedback.len() {
                    scope.feedback_without_source(&model.name, id, calls.feedback.get(index));
                }
                scope.outcome(row, OutcomeKind::Created(true));
                true
            }
            Err(reason) => {
                self.reject(model, scope, row, DeadLetterKind::Failed, &reason, 1);
                false
            }
        }
    }

    /// Exactly one final entry per twin and epoch (law P4).
    #[expect(clippy::too_many_arguments, reason = "everything that one entry is made of")]
    fn write(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        (index, hash): (u32, u64),
        id: &str,
        state: &Option<P::Model>,
        existed: bool,
        changed: bool,
        calls: &Calls,
    ) {
        if !changed || !scope.encode {
            return;
        }
        let (bucket, key) = (bucket(hash), id.as_bytes());
        if state.is_some() {
            let version = P::Model::STATE_VERSION.to_le_bytes();
            let written = scope.part.put_with(EntryKind::State, bucket, model.number, key, |to| {
                to.extend_from_slice(&version);
                to.extend_from_slice(&calls.encoded);
                Ok::<(), std::convert::Infallible>(())
            });
            debug_assert!(written.is_ok(), "copying bytes never fails");
            if P::ROLLBACK == Rollback::LastEncoded {
                model.saved.insert(index, calls.encoded.as_slice().into());
            }
        } else if existed {
            scope.part.put(EntryKind::Removal, bucket, model.number, key, &[]);
        }
    }

    /// Applies the model's policy to a message that failed; says the number of its dead letter.
    fn reject(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        kind: DeadLetterKind,
        reason: &str,
        attempts: u32,
    ) -> u64 {
        self.counts.failed += 1;
        match model.settings.on_failure {
            OnFailure::Halt => {
                let what = format!("model \"{}\", twin \"{}\": {reason}", model.name, row.id());
                scope.halted.get_or_insert(what);
                0
            }
            OnFailure::Skip => {
                scope.skip(row, reason);
                0
            }
            OnFailure::DeadLetter => {
                let (model, twin) = (Some(&*model.name), Some(row.id()));
                scope.reject(row, &Rejection { kind, model, twin, reason, attempts })
            }
        }
    }
}

fn is_full<P: MessageProcessor>(model: &TypedModel<P>, counts: &EpochCounts) -> bool {
    let twins = model.statistics.twins.load(std::sync::atomic::Ordering::Relaxed);
    twins + counts.created >= model.settings.twins_max
}

/// Stores an id with its answer.
fn remember<P: MessageProcessor>(
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
        let value = rmp_serde::to_vec(&handled).expect("an answer always serialises");
        let twin = twin_of_key(&pending.key).unwrap_or_default();
        let bucket = bucket(twin_hash(twin));
        scope.part.put(EntryKind::MessageId, bucket, model.number, &pending.key, &value);
    }
    model.ids.put(pending.key, handled);
}
