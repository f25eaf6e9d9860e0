//! What the models of a worker share while one epoch is worked off.

use std::sync::Arc;

use twinflow_connectors::{
    link::{FeedbackId, LinkRow, OutboxEntry, OutcomeKind, Receipt, Slot},
    message::Timestamp,
    row::Row,
};

use super::call::{CallRecord, Calls};
use crate::{
    dead_letter::{DeadLetter, DeadLetterKind, put_dead_letter},
    store::{EntryKind, EpochPart},
    worker::WorkerShared,
};

/// A row for a slot and the number of that slot.
pub(crate) type SlotRow = (u16, LinkRow);

/// One epoch on one worker.
pub(crate) struct EpochScope<'a> {
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    /// The epoch's time (law P6).
    pub(crate) now: Timestamp,
    /// All slots of the generation, by number.
    pub(crate) slots: &'a [Arc<Slot>],
    /// Whether the store wants encoded states (law D13).
    pub(crate) encode: bool,
    /// What is made durable.
    pub(crate) part: &'a mut EpochPart,
    /// What goes to links once it is.
    pub(crate) link_rows: &'a mut Vec<SlotRow>,
    pub(crate) shared: &'a WorkerShared,
    /// Set when a model's policy is `halt` and it failed (law P5): the epoch must not count.
    pub(crate) halted: Option<String>,
}

/// Why a message became a dead letter.
#[derive(Debug)]
pub(crate) struct Rejection<'a> {
    pub(crate) kind: DeadLetterKind,
    pub(crate) model: Option<&'a str>,
    pub(crate) twin: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) attempts: u32,
}

/// Whose feedback it is, and what goes with it.
pub(super) struct Sender<'a> {
    /// Number of the model.
    pub(super) model: u16,
    pub(super) twin: &'a str,
    pub(super) cause: Option<Receipt>,
    pub(super) names: Vec<(String, String)>,
}

/// Receipt and index of a row whose source waits for acknowledgements.
pub(crate) fn place_of(row: Row<'_>) -> (Receipt, u32) {
    (Receipt(row.position() >> 16), (row.position() & 0xffff) as u32)
}

impl EpochScope<'_> {
    /// Whether the upstream of this row waits for its own outcome.
    pub(crate) fn answers(&self, row: Row<'_>) -> bool {
        self.slots.get(usize::from(row.origin())).is_some_and(|slot| slot.place.answers)
    }

    /// Tells the upstream of a row what became of it, if it waits for that.
    pub(crate) fn outcome(&mut self, row: Row<'_>, kind: OutcomeKind) {
        if self.answers(row) {
            let (receipt, index) = place_of(row);
            self.link_rows.push((row.origin(), LinkRow::Outcome { receipt, index, kind }));
        }
    }

    /// Makes a row a dead letter and says its number.
    pub(crate) fn reject(&mut self, row: Row<'_>, rejection: &Rejection<'_>) -> u64 {
        let number = self.shared.take_dead_letter();
        let slot = self.slots.get(usize::from(row.origin()));
        let partition = row
            .attributes()
            .partition()
            .and_then(|partition| slot.and_then(|slot| slot.partition(partition)));
        let letter = DeadLetter {
            number,
            kind: rejection.kind,
            model: rejection.model.map(str::to_owned),
            twin: rejection.twin.map(str::to_owned),
            connection: slot.map_or_else(String::new, |slot| slot.place.connection.to_string()),
            position: partition.is_some().then(|| row.position()),
            partition,
            reason: rejection.reason.to_owned(),
            attempts: rejection.attempts,
            at: self.now,
            epoch: self.epoch,
            payload_bytes: row.payload().len() as u64,
        };
        put_dead_letter(self.part, &letter, row.payload());
        self.shared.setup.dead_letters.add(letter);
        self.tell_rejected(row, number, rejection.reason);
        number
    }

    /// Takes the dead letter that a row is about: it goes in this epoch, unless it is put back.
    pub(crate) fn take_dead_letter(&mut self, row: Row<'_>) -> bool {
        let number = row.attributes().dead_letter().map(|(number, _)| number);
        number.is_some_and(|number| self.shared.setup.dead_letters.take(number, self.epoch))
    }

    /// The dead letter goes in the frame that applies or drops it (law D5).
    pub(crate) fn dead_letter_gone(&mut self, row: Row<'_>) {
        if let Some((number, _)) = row.attributes().dead_letter() {
            self.part.put_ledger(EntryKind::DeadLetterDropped, 0, &number.to_le_bytes(), &[]);
            self.outcome(row, OutcomeKind::DeadLetterGone(true));
        }
    }

    /// A replay that failed leaves its dead letter as it was.
    pub(crate) fn dead_letter_stays(&mut self, row: Row<'_>, reason: &str) {
        if let Some((number, _)) = row.attributes().dead_letter() {
            self.shared.setup.dead_letters.put_back(number);
        }
        self.skip(row, reason);
    }

    /// Forgets a row that failed, and tells its upstream so: dead letter 0 is none.
    pub(crate) fn skip(&mut self, row: Row<'_>, reason: &str) {
        self.tell_rejected(row, 0, reason);
    }

    fn tell_rejected(&mut self, row: Row<'_>, dead_letter: u64, reason: &str) {
        if self.answers(row) {
            let (receipt, index) = place_of(row);
            let reason = reason.to_owned();
            let rejected = LinkRow::Rejected { receipt, index, dead_letter, reason };
            self.link_rows.push((row.origin(), rejected));
        }
    }

    /// Stores the feedback of a call and hands it to a slot once it is durable (law D6).
    pub(super) fn hand_out(
        &mut self,
        to: u16,
        sender: &Sender<'_>,
        record: &CallRecord,
        calls: &Calls,
    ) {
        let Some(slot) = self.slots.get(usize::from(to)) else { return };
        let (generation, epoch) = (self.generation, self.epoch);
        for index in record.feedback.clone() {
            let entry = OutboxEntry {
                id: FeedbackId { generation, epoch, index: index as u32 },
                model: sender.model,
                twin: sender.twin.to_owned(),
                cause: sender.cause,
                names: sender.names.clone(),
                payload: calls.feedback.get(index).to_vec(),
                created_at: self.now,
            };
            if self.encode {
                put_feedback(self.part, slot.place.connection_number, &entry);
            }
            self.link_rows.push((to, LinkRow::Feedback(entry)));
        }
    }

    /// Feedback of a twin that has no data source: counted and kept (law P7).
    pub(crate) fn feedback_without_source(&mut self, model: &str, twin: &str, payload: &[u8]) {
        let number = self.shared.take_dead_letter();
        let letter = feedback_letter(number, model, twin, payload, "the twin has no data source");
        let letter = DeadLetter { at: self.now, epoch: self.epoch, ..letter };
        put_dead_letter(self.part, &letter, payload);
        self.shared.setup.dead_letters.add(letter);
    }

    /// A twin is no longer in quarantine.
    pub(crate) fn released(&mut self, model: u16, twin: &str) {
        if self.encode {
            self.part.put_ledger(EntryKind::Released, model, twin.as_bytes(), &[]);
        }
        self.shared.setup.quarantine.remove(model, twin);
    }
}

/// Unconfirmed feedback of a connection.
pub(crate) fn put_feedback(part: &mut EpochPart, connection: u16, entry: &OutboxEntry) {
    let value = rmp_serde::to_vec(entry).expect("an outbox entry always serialises");
    part.put_ledger(EntryKind::Feedback, connection, &feedback_key(entry), &value);
}

/// A dead letter of feedback that nobody took.
pub(crate) fn feedback_letter(
    number: u64,
    model: &str,
    twin: &str,
    payload: &[u8],
    reason: &str,
) -> DeadLetter {
    DeadLetter {
        number,
        kind: DeadLetterKind::Feedback,
        model: Some(model.to_owned()),
        twin: Some(twin.to_owned()),
        connection: String::new(),
        partition: None,
        position: None,
        reason: reason.to_owned(),
        attempts: 1,
        at: Timestamp(0),
        epoch: 0,
        payload_bytes: payload.len() as u64,
    }
}

/// Key of feedback in the store: model, id, twin.
pub(crate) fn feedback_key(entry: &OutboxEntry) -> Vec<u8> {
    let mut key = Vec::with_capacity(entry.twin.len() + 22);
    key.extend_from_slice(&entry.model.to_le_bytes());
    key.extend_from_slice(&entry.id.generation.to_le_bytes());
    key.extend_from_slice(&entry.id.epoch.to_le_bytes());
    key.extend_from_slice(&entry.id.index.to_le_bytes());
    key.extend_from_slice(entry.twin.as_bytes());
    key
}
