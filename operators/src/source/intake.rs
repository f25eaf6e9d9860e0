//! What a source takes from its links, and when its epoch is full. No timely inside.

use std::{rc::Rc, sync::Arc, time::Duration};

use twinflow_connectors::{
    link::{Slot, Taken},
    message::{
        Timestamp,
        limits::{DELIVERY_BYTES_MAX, DELIVERY_ROWS_MAX},
    },
};

use super::{MARKS_EVERY, sweep::LedgerSweep};
use crate::{
    dead_letter::{DeadLetter, put_dead_letter},
    frame::Frame,
    process::{
        scope::{feedback_key, feedback_letter},
        sweep::sweep_row,
    },
    recover::position_key,
    store::{EntryKind, EpochPart},
    worker::WorkerShared,
};

/// What became of waiting confirmations.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// None waits.
    None,
    /// They are in the open epoch.
    Taken,
    /// They wait for company, at most this long.
    Later(Duration),
}

/// The links of one worker and what of them is in the open epoch.
pub(super) struct Intake {
    shared: Rc<WorkerShared>,
    slots: Vec<Arc<Slot>>,
    /// The link whose turn it is (law S1: round robin).
    turn: usize,
    rows: usize,
    bytes: usize,
    dirty: bool,
    /// The first epoch of a generation is closed empty, at once (law S3).
    first: bool,
    /// Per slot and partition the next position.
    positions: Vec<(usize, u32, u64)>,
    part: EpochPart,
    marked_at: Timestamp,
    /// The moment that a timer was armed for.
    armed_until: u64,
    sweep: LedgerSweep,
}

impl Intake {
    pub(super) fn new(shared: &Rc<WorkerShared>) -> Self {
        let setup = &shared.setup;
        let own = setup.slots.iter().filter(|slot| slot.place.worker == setup.index);
        Self {
            shared: Rc::clone(shared),
            slots: own.cloned().collect(),
            turn: 0,
            rows: 0,
            bytes: 0,
            dirty: false,
            first: true,
            positions: Vec::new(),
            part: EpochPart::default(),
            marked_at: Timestamp(0),
            armed_until: 0,
            sweep: LedgerSweep::default(),
        }
    }

    /// Whether the open epoch has anything that must be closed.
    pub(super) fn has_data(&self) -> bool {
        self.dirty || self.first
    }

    /// Whether an epoch is closed for the sweep alone: the store has no room for anything else
    /// before the sweep is done (law D10).
    pub(super) fn sweeps_alone(&self) -> bool {
        let order = self.shared.setup.store.sweep().filter(|order| order.urgent);
        order.is_some_and(|order| {
            !self.sweep.has_done(order.number) || self.shared.twins_swept.get() < order.number
        })
    }

    /// Lets the twins of this worker take part in an epoch that brings nothing for them, while a
    /// sweep is under way: a worker without traffic has its part in it, too.
    pub(super) fn sweep_row(&self) -> Option<Frame> {
        let order = self.shared.setup.store.sweep()?;
        let done = self.first || self.shared.twins_swept.get() >= order.number;
        (!done).then(|| sweep_row(self.shared.setup.index))
    }

    /// Takes deliveries into the open epoch until it is full or nothing waits; says whether
    /// something is left.
    pub(super) fn fill(
        &mut self,
        epoch: u64,
        may_close: bool,
        mut give: impl FnMut(Frame),
    ) -> bool {
        if self.first {
            return true;
        }
        if self.shared.setup.store.is_full() {
            return false;
        }
        // One message per link (law F4): deliveries are of one row each then.
        let careful = self.shared.setup.edge.is_careful();
        let (mut quiet, mut looked) = (0, 0);
        while quiet < self.slots.len() {
            let slot = self.turn % self.slots.len();
            let mut taken_bytes = 0;
            while taken_bytes < DELIVERY_BYTES_MAX {
                if !self.has_room(may_close) {
                    // Whoever filled the epoch is not the first of the next one.
                    self.turn = slot + usize::from(taken_bytes > 0);
                    return true;
                }
                let Some(taken) = self.slots[slot].take() else { break };
                taken_bytes += taken.bytes;
                self.enter(epoch, slot, taken, &mut give);
                if careful {
                    break;
                }
            }
            quiet = if taken_bytes == 0 { quiet + 1 } else { 0 };
            self.turn = (slot + 1) % self.slots.len();
            looked += 1;
            if careful && looked == self.slots.len() {
                return self.dirty;
            }
        }
        false
    }

    /// Whether the open epoch has the size that is preferred.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= DELIVERY_ROWS_MAX || self.bytes >= DELIVERY_BYTES_MAX
    }

    /// An epoch prefers 4,096 rows or 1 MiB; while it may not be closed it grows to the hard limit
    /// (law S4), so that a slow store makes larger epochs and no stall.
    fn has_room(&self, may_close: bool) -> bool {
        let limits = &self.shared.setup.limits;
        let in_flight = self.shared.ledger.borrow().bytes();
        let epoch_has_room =
            if may_close { !self.is_full() } else { (self.bytes as u64) < limits.epoch_bytes_max };
        epoch_has_room && in_flight < limits.in_flight_bytes_max
    }

    fn enter(&mut self, epoch: u64, slot: usize, taken: Taken, give: &mut impl FnMut(Frame)) {
        let Taken { frames, receipt, rows, bytes, positions } = taken;
        let id = self.slots[slot].place.id;
        self.shared.ledger.borrow_mut().record(epoch, id, receipt, bytes as u64);
        frames.into_iter().map(Frame::new).for_each(give);
        for (partition, next) in positions {
            let same = |known: &&mut (usize, u32, u64)| (known.0, known.1) == (slot, partition);
            match self.positions.iter_mut().find(same) {
                Some(known) => known.2 = next,
                None => self.positions.push((slot, partition, next)),
            }
        }
        self.rows += rows;
        self.bytes += bytes;
        self.dirty = true;
    }

    /// Puts waiting confirmations into the open epoch; alone they make one only 100 ms after the
    /// last (law D6), or at once when the engine stops.
    pub(super) fn marks(&mut self) -> Marks {
        if self.first || !self.slots.iter().any(|slot| slot.has_confirmations()) {
            return Marks::None;
        }
        let setup = &self.shared.setup;
        let now = (setup.time)();
        let every = MARKS_EVERY.as_micros() as u64;
        // A clock that was set back makes the marks due at once.
        let waited = now.0.checked_sub(self.marked_at.0).unwrap_or(every);
        let flush = setup.control.flush.load(std::sync::atomic::Ordering::Acquire);
        if !self.dirty && waited < every && !flush {
            if (now.0..=now.0 + every).contains(&self.armed_until) {
                return Marks::None;
            }
            // A little later than due, so that the clock surely says so when the timer fires.
            self.armed_until = now.0 + every - waited;
            return Marks::Later(Duration::from_micros(every - waited + 1000));
        }
        self.marked_at = now;
        for slot in &self.slots {
            put_confirmations(slot, &self.shared, &mut self.part);
        }
        self.dirty |= !self.part.is_empty();
        Marks::Taken
    }

    /// The epoch is over: what it wrote beside its rows.
    pub(super) fn finish(&mut self) -> EpochPart {
        (self.rows, self.bytes, self.dirty, self.first) = (0, 0, false, false);
        let encode = self.shared.setup.store.wants_states();
        for (slot, partition, next) in self.positions.drain(..) {
            let slot = &self.slots[slot];
            if encode && let Some((topic, partition)) = slot.partition(partition) {
                let key = position_key(&topic, partition);
                let connection = slot.place.connection_number;
                self.part.put_ledger(EntryKind::Position, connection, &key, &next.to_le_bytes());
            }
        }
        self.sweep.step(&self.slots, &self.shared, &mut self.part);
        std::mem::take(&mut self.part)
    }
}

/// Delivered marks, and dead letters of what was given up (law D6).
fn put_confirmations(slot: &Slot, shared: &WorkerShared, part: &mut EpochPart) {
    let encode = shared.setup.store.wants_states();
    let connection = slot.place.connection_number;
    let confirmations = slot.take_confirmations();
    for entry in confirmations.confirmed.iter().filter(|_| encode) {
        part.put_ledger(EntryKind::Delivered, connection, &feedback_key(entry), &[]);
    }
    for (entry, reason) in &confirmations.given_up {
        if encode {
            part.put_ledger(EntryKind::Delivered, connection, &feedback_key(entry), &[]);
        }
        let model = shared.setup.edge.models.name(entry.model).unwrap_or_default();
        let number = shared.take_dead_letter();
        let letter = DeadLetter {
            connection: slot.place.connection.to_string(),
            at: entry.created_at,
            epoch: shared.setup.clock.now(),
            ..feedback_letter(number, model, &entry.twin, &entry.payload, reason)
        };
        put_dead_letter(part, &letter, &entry.payload);
        shared.setup.dead_letters.add(letter);
    }
}
