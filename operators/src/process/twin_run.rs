//! What one epoch does to one twin: set aside, call, write, answer.

use std::sync::Arc;

use twinflow_connectors::{
    answer::StoredAnswer,
    error::chain,
    frame::FrameView,
    link::{CAUSE, OutcomeKind, Slot},
    route::{bucket, twin_hash},
    row::{Row, RowKind},
};

use super::{
    call::{CallRecord, CallSite, Calls, call_twin},
    guard::guarded,
    model_worker::TypedModel,
    pending::PendingIds,
    repeats::remember,
    requests::{is_full, too_many_twins},
    scope::{EpochScope, Rejection, Sender, place_of},
    settings::OnFailure,
    statistics::EpochCounts,
    table::NO_ROW,
    tapped::Looking,
    watch::Moment,
};
use crate::{
    dead_letter::DeadLetterKind,
    message::{MessageInfo, Messages, RawMessage, TwinMessage},
    model::{MessageOf, MessageProcessor, Rollback, TwinModel},
    store::{ENTRY_HEAD, EntryKind},
};

/// Bytes of a state's schema version.
const VERSION_LEN: usize = 4;

/// Buffers of one epoch of one model, reused from twin to twin.
pub(super) struct TwinRun<'e, P: MessageProcessor> {
    pub(super) frames: &'e [FrameView<'e>],
    pub(super) slots: &'e [Arc<Slot>],
    pub(super) site: CallSite<'e, P>,
    pub(super) values: Vec<MessageOf<'e, P>>,
    infos: Vec<MessageInfo<'e>>,
    /// Per value its row.
    pub(super) rows: Vec<Row<'e>>,
    /// Indices of replayed messages.
    pub(super) replays: Vec<usize>,
    pub(super) pending: PendingIds,
    /// Requests that came before the first message, and those that came later.
    before: Vec<Row<'e>>,
    after: Vec<Row<'e>>,
    /// The twin is not there and may not be made.
    pub(super) full: bool,
    /// The twin is set aside (law F4).
    pub(super) quarantined: bool,
    pub(super) counts: EpochCounts,
    last_failed: Option<u16>,
    pub(super) looking: Looking,
}

impl<'e, P: MessageProcessor> TwinRun<'e, P> {
    pub(super) fn new(
        frames: &'e [FrameView<'e>],
        slots: &'e [Arc<Slot>],
        site: CallSite<'e, P>,
        looking: Looking,
    ) -> Self {
        Self {
            frames,
            slots,
            site,
            values: Vec::new(),
            infos: Vec::new(),
            rows: Vec::new(),
            replays: Vec::new(),
            pending: PendingIds::default(),
            before: Vec::new(),
            after: Vec::new(),
            full: false,
            quarantined: false,
            counts: EpochCounts::default(),
            last_failed: None,
            looking,
        }
    }

    /// What the epoch counted, and the slot that brought the last message that failed.
    pub(super) fn finish(self) -> (EpochCounts, Option<u16>) {
        (self.counts, self.last_failed)
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
        let existed = slot.state.is_some();
        self.quarantined = !model.quarantined.is_empty() && model.quarantined.contains(&*slot.id);
        let was = model.copy_for_watchers(index);
        self.full = !existed && is_full(model, &self.counts);
        calls.clear();
        let seen = if self.looking.is_idle() { None } else { self.look(model, index, first) };
        self.set_aside(model, scope, first);

        let mut changed = false;
        if !self.before.is_empty() {
            let requests = std::mem::take(&mut self.before);
            changed |= self.requests(model, scope, requests, index, calls);
        }
        if !self.values.is_empty() {
            self.call(model, scope, index, calls);
            changed |= calls.changed;
        }
        if !self.after.is_empty() {
            let requests = std::mem::take(&mut self.after);
            changed |= self.requests(model, scope, requests, index, calls);
        }
        self.counts.calls += calls.made;
        let exists = model.table.slot(index).state.is_some();
        if exists {
            self.follow_route(model, scope, index);
        }
        if changed && scope.encode {
            self.write(model, scope, (index, hash), existed, calls);
        }
        if changed && !model.watchers.is_empty() {
            self.report(model, scope, index, was);
        }
        if let Some(seen) = seen {
            self.tell_taps(model, scope, index, seen, calls);
        }
        if exists != existed {
            self.counts.created += u64::from(exists);
            self.counts.removed += u64::from(existed);
        }
        if !exists {
            model.saved.remove(&index);
            model.table.remove(index);
        }
    }

    /// Tells those who watch.
    #[cold]
    fn report(
        &self,
        model: &TypedModel<P>,
        scope: &EpochScope<'_>,
        index: u32,
        was: Option<P::Model>,
    ) {
        let slot = model.table.slot(index);
        if was.is_none() && slot.state.is_none() {
            // It came and went within the epoch.
            return;
        }
        let source_time = self.infos.iter().filter_map(|info| info.source_time).max();
        model.report(Moment::of(scope, source_time), &slot.id, was, slot.state.as_ref());
    }

    /// Sorts the rows of the twin: requests before and after the first message, messages to call,
    /// repetitions and undecodable ones (law P3).
    fn set_aside(&mut self, model: &mut TypedModel<P>, scope: &mut EpochScope<'_>, first: u32) {
        self.values.clear();
        self.infos.clear();
        self.rows.clear();
        self.replays.clear();
        self.pending.clear();
        let mut number = first;
        let mut met_message = false;
        while number != NO_ROW {
            let row = model.row(self.frames, number);
            number = model.rows[number as usize].next;
            if row.is(RowKind::Message) {
                met_message = true;
                self.message(model, scope, row);
                continue;
            }
            match row.kind() {
                RowKind::Replay => {
                    met_message = true;
                    self.replay(model, scope, row);
                }
                RowKind::Read => self.after.push(row),
                _ if met_message => self.after.push(row),
                _ => self.before.push(row),
            }
        }
    }

    #[inline]
    fn message(&mut self, model: &mut TypedModel<P>, scope: &mut EpochScope<'_>, row: Row<'e>) {
        let place = &self.slots[usize::from(row.origin())].place;
        let attributes = row.attributes();
        if let Some(keep_secs) = place.dedupe_keep_secs
            && let Some(id) = attributes.message_id()
            && self.repeats(model, scope, row, id, keep_secs)
        {
            if !self.looking.is_idle() {
                self.looking.note_failed(row, "a message with its id came before");
            }
            return;
        }
        let info = MessageInfo::new(&place.connection, row.received_at(), row.format(), attributes);
        self.decode(model, scope, row, info);
    }

    /// Decodes a message to its place among the values, or rejects it.
    #[inline]
    pub(super) fn decode(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        info: MessageInfo<'e>,
    ) {
        if self.quarantined {
            let reason = scope.shared.setup.quarantine.reason(model.number, row.id());
            return self.refuse(model, scope, row, DeadLetterKind::Quarantined, &reason);
        }
        if self.full {
            let reason = too_many_twins(model);
            return self.refuse(model, scope, row, DeadLetterKind::Failed, &reason);
        }
        // The value goes to its place inside the guard: out of it, it would be moved three times.
        // What is known of the message is copied in there, too, as far as it is read.
        let values = &mut self.values;
        let decoded = guarded(|| {
            MessageOf::<'e, P>::decode_to(RawMessage { payload: row.payload(), info }, values)
        });
        let reason = match decoded {
            Ok(Ok(())) => {
                self.infos.push(info);
                self.rows.push(row);
                return;
            }
            Ok(Err(error)) => chain(&error),
            Err(panic) => panic,
        };
        self.refuse(model, scope, row, DeadLetterKind::Undecodable, &reason);
    }

    /// Rejects a message before any call; its id is remembered like that of any other (law D5).
    fn refuse(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        kind: DeadLetterKind,
        reason: &str,
    ) {
        let pending = self.pending.pop_of(self.values.len());
        let number = self.reject(model, scope, row, kind, reason, 1);
        if let Some(pending) = pending {
            let answer = StoredAnswer::rejected(scope.epoch, number, reason);
            remember(model, scope, pending, &answer);
        }
    }

    /// Calls the processor.
    fn call(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        index: u32,
        calls: &mut Calls,
    ) {
        let by_saved = P::ROLLBACK == Rollback::LastEncoded;
        let saved = if by_saved { model.saved.get(&index).map(|bytes| &**bytes) } else { None };
        let slot = model.table.slot_mut(index);
        let messages = Messages::new(&self.values, &self.infos);
        call_twin(&self.site, &slot.id, &mut slot.state, saved, messages, calls);
        self.counts.messages += (self.values.len() - calls.failures.len()) as u64;
        // Most calls leave nothing to see to.
        let nothing = calls.failures.is_empty() && calls.feedback.len() == 0;
        if !(nothing && self.pending.is_empty() && self.replays.is_empty()) {
            self.settle(model, scope, index, calls);
        }
    }

    /// Sees to failures, feedback, ids and replays.
    fn settle(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        index: u32,
        calls: &mut Calls,
    ) {
        let id = model.table.slot(index).id.clone();
        let mut rejected = Vec::new();
        for failure in std::mem::take(&mut calls.failures) {
            let row = self.rows[failure.message];
            let kind = DeadLetterKind::Failed;
            let number = self.reject(model, scope, row, kind, &failure.reason, failure.attempts);
            rejected.push((failure.message, number, failure.reason));
        }
        for record in calls.records.iter().filter(|record| !record.feedback.is_empty()) {
            self.send(model, scope, (index, &id), record, calls);
        }
        for pending in self.pending.take() {
            // Failures are in the order of their messages.
            let failed = rejected.binary_search_by_key(&pending.message, |(message, ..)| *message);
            let answer = match failed.ok().map(|at| &rejected[at]) {
                Some((_, number, reason)) => StoredAnswer::rejected(scope.epoch, *number, reason),
                None => self.answer(scope, pending.message, calls),
            };
            remember(model, scope, pending, &answer);
        }
        let failed = |message| rejected.binary_search_by_key(&message, |(at, ..)| *at).is_ok();
        self.end_replays(scope, failed);
    }

    /// Feedback of one call: to the data source of its last message (law P7).
    fn send(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        (index, id): (u32, &str),
        record: &CallRecord,
        calls: &Calls,
    ) {
        let mut messages = self.rows[record.messages.clone()].iter().rev();
        let Some(&last) = messages.find(|row| row.kind() == RowKind::Message) else {
            return self.send_by_route(model, scope, (index, id), record, calls);
        };
        let place = &self.slots[usize::from(last.origin())].place;
        let to = if place.answers { last.origin() } else { place.feedback_slot(id) };
        let cause = place.answers.then(|| place_of(last).0);
        let position = last.attributes().partition().and_then(|number| {
            let (topic, partition) = self.slots[usize::from(last.origin())].partition(number)?;
            Some((CAUSE.to_owned(), format!("{topic}/{partition}/{}", last.position())))
        });
        let names = last.attributes().names();
        let names = names.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let names = names.chain(position).collect();
        self.counts.feedback += record.feedback.len() as u64;
        scope.hand_out(to, &Sender { model: model.number, twin: id, cause, names }, record, calls);
        for message in record.messages.clone() {
            let row = self.rows[message];
            let same_request = row.origin() == last.origin() && place_of(row).0 == place_of(last).0;
            if !same_request && row.kind() == RowKind::Message {
                scope.outcome(row, OutcomeKind::Merged);
            }
        }
    }

    /// The twin's data source is where its last message came from (law D4).
    fn follow_route(&self, model: &mut TypedModel<P>, scope: &mut EpochScope<'_>, index: u32) {
        let mut messages = self.rows.iter().rev();
        let Some(last) = messages.find(|row| row.is(RowKind::Message)) else { return };
        let connection = self.slots[usize::from(last.origin())].place.connection_number;
        let current = model.table.slot(index).route;
        if let Some(number) = model.routes.moved(current, connection, last.attributes()) {
            let slot = model.table.slot_mut(index);
            slot.route = number;
            if scope.encode
                && let Some(route) = model.routes.get(number)
            {
                let id = &slot.id;
                let bucket = bucket(twin_hash(id.as_bytes()));
                let (key, value) = (id.as_bytes(), route.encode());
                scope.part.put(EntryKind::Route, bucket, model.number, key, &value);
            }
        }
    }

    /// Exactly one final entry per twin and epoch (law P4), or a note that it is owed: the last
    /// state of those epochs that share a commit is the one that counts.
    fn write(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        (index, hash): (u32, u64),
        existed: bool,
        calls: &Calls,
    ) {
        let slot = model.table.slot(index);
        let (bucket, key) = (bucket(hash), slot.id.as_bytes());
        if slot.state.is_some() {
            if let Some(bytes) = calls.owed {
                let bytes = ENTRY_HEAD + key.len() + VERSION_LEN + bytes;
                return model.places.owe(index, scope.part, bytes);
            }
            let version = P::Model::STATE_VERSION.to_le_bytes();
            let value = (&version[..], &calls.encoded[..]);
            model.places.put(index, scope.part, (bucket, model.number, key), value);
            if P::ROLLBACK == Rollback::LastEncoded {
                model.saved.insert(index, calls.encoded.as_slice().into());
            }
        } else if existed {
            scope.part.put(EntryKind::Removal, bucket, model.number, key, &[]);
            model.places.forget(index);
        }
    }

    /// Applies the model's policy to a message that failed; says the number of its dead letter.
    pub(super) fn reject(
        &mut self,
        model: &TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        kind: DeadLetterKind,
        reason: &str,
        attempts: u32,
    ) -> u64 {
        if !self.looking.is_idle() {
            self.looking.note_failed(row, reason);
        }
        if row.kind() == RowKind::Replay {
            scope.dead_letter_stays(row, reason);
            return 0;
        }
        if kind == DeadLetterKind::Quarantined {
            // It did not fail, and its model is not a failing one (law P5).
            self.counts.quarantined += 1;
            let (model, twin) = (Some(&*model.name), Some(row.id()));
            return scope.reject(row, &Rejection { kind, model, twin, reason, attempts: 0 });
        }
        self.counts.failed += 1;
        self.last_failed = Some(row.origin());
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
