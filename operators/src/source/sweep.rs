//! Rewrites the positions and the unconfirmed feedback of a worker's slots (laws D2, D6, D10).
//!
//! They are in the source's part of the epoch that it closes, as positions and delivered marks are:
//! a position covers what was taken into this epoch and earlier ones, and a mark always comes
//! behind the entry that it removes.

use std::sync::Arc;

use twinflow_connectors::link::Slot;

use crate::{
    process::{scope::put_feedback, sweep::room},
    recover::position_key,
    store::{EntryKind, EpochPart, Swept},
    worker::WorkerShared,
};

/// Feedback that is looked at at once.
const ENTRIES: usize = 64;

/// How far the slots of a worker are rewritten.
#[derive(Debug, Default)]
pub(super) struct LedgerSweep {
    number: u64,
    slot: usize,
    /// The last ticket of the slot that was rewritten; none: its positions come first.
    ticket: Option<u64>,
    done: bool,
}

impl LedgerSweep {
    /// Whether this sweep has all of the slots.
    pub(super) fn has_done(&self, number: u64) -> bool {
        self.number == number && self.done
    }

    /// One piece of the sweep that the store wants, if it wants one.
    pub(super) fn step(
        &mut self,
        slots: &[Arc<Slot>],
        shared: &WorkerShared,
        part: &mut EpochPart,
    ) {
        let Some(order) = shared.setup.store.sweep() else { return };
        if self.has_done(order.number) {
            return;
        }
        if self.number != order.number {
            *self = Self { number: order.number, ..Self::default() };
        }
        // Feedback of an epoch that is not committed is in no outbox yet.
        if shared.committed.first().is_some_and(|committed| committed < order.since) {
            return;
        }
        let before = part.bytes().len();
        let until = before + room(before, &order);
        while part.bytes().len() < until {
            let Some(slot) = slots.get(self.slot) else {
                self.done = true;
                break;
            };
            if !self.slot(slot, until, part) {
                (self.slot, self.ticket) = (self.slot + 1, None);
            }
        }
        let bytes = (part.bytes().len() - before) as u64;
        let (number, ledger_done) = (order.number, self.done);
        part.add_swept(&Swept { number, bytes, twins_done: false, ledger_done });
    }

    /// A few entries of a slot, up to `until` bytes; whether there may be more.
    fn slot(&mut self, slot: &Slot, until: usize, part: &mut EpochPart) -> bool {
        let connection = slot.place.connection_number;
        if self.ticket.is_none() {
            for position in slot.positions() {
                let key = position_key(&position.topic, position.partition);
                let next = position.next.to_le_bytes();
                part.put_ledger(EntryKind::Position, connection, &key, &next);
            }
        }
        let unconfirmed = slot.unconfirmed_behind(self.ticket.unwrap_or(0), ENTRIES);
        for (ticket, entry) in &unconfirmed {
            self.ticket = Some(*ticket);
            put_feedback(part, connection, entry);
            if part.bytes().len() >= until {
                return true;
            }
        }
        if unconfirmed.len() == ENTRIES {
            return true;
        }
        // Not in the outbox any more, and not in any part as a dead letter yet.
        slot.given_up().iter().for_each(|entry| put_feedback(part, connection, entry));
        false
    }
}
