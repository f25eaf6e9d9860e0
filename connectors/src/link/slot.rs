//! One connection slot for a whole generation: what survives the sessions of its links.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, atomic::Ordering},
};

use tokio::sync::Notify;

use super::{
    Edge, Link, LinkEvent, LinkEvents, LinkIntake, LinkRow, OutboxEntry, OutboxLimits, Receipt,
    SlotStatistics, UpstreamReport, Wake, outbox::Outbox,
};
use crate::{
    frame::{BufferPool, RowFrame},
    message::{
        Format, Timestamp,
        limits::{DELIVERY_BYTES_MAX, DELIVERY_ROWS_MAX, QUEUE_BYTES_MAX, QUEUE_ROWS_MAX},
    },
    route::feedback_slot,
};

/// Where a slot is in its generation (law S1).
#[derive(Clone, Debug)]
pub struct SlotPlace {
    /// Number of the slot among all of the generation; the `origin` of its rows.
    pub id: u16,
    /// Name of its connection.
    pub connection: Arc<str>,
    /// Number of its connection in this state directory.
    pub connection_number: u16,
    /// Number among the slots of its connection.
    pub number: usize,
    /// How many slots its connection has.
    pub slots: usize,
    /// The worker that it belongs to.
    pub worker: usize,
    /// How payloads are meant.
    pub format: Format,
    /// Whether its upstream waits for each message's own outcome (REST, the engine's own link).
    pub answers: bool,
    /// How long ids of messages are remembered; `None`: ids are ignored.
    pub dedupe_keep_secs: Option<u64>,
}

impl SlotPlace {
    /// The `id` of the slot of this connection by which feedback of a twin leaves.
    pub fn feedback_slot(&self, twin: &str) -> u16 {
        self.id - self.number as u16 + feedback_slot(twin, self.slots) as u16
    }
}

/// A position of a replayable source: partition and the next position to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Topic, or what the source calls it.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// The next position to read; everything before it was taken.
    pub next: u64,
}

/// One delivery as `source` takes it.
#[derive(Debug)]
pub struct Taken {
    /// The rows, by owner.
    pub frames: Vec<RowFrame>,
    /// Its number.
    pub receipt: Receipt,
    /// How many rows there are.
    pub rows: usize,
    /// Bytes of the rows.
    pub bytes: usize,
    /// Per partition that it moved, the next position.
    pub positions: Vec<(u32, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct SlotState {
    /// The open session, 0 for none; a half of an earlier session sees that it is over.
    pub(super) session: u64,
    pub(super) queue: VecDeque<Taken>,
    pub(super) queued_rows: usize,
    pub(super) queued_bytes: usize,
    /// The last receipt given out, on any session.
    pub(super) last_receipt: u64,
    /// The first receipt of the open session; earlier ones mean nothing to its upstream.
    pub(super) first_receipt: u64,
    /// Partitions by number: topic, partition, next position to take.
    pub(super) partitions: Vec<Position>,
    partition_numbers: HashMap<(String, i32), u32>,
    /// Partitions whose stored position is 0: a person set it (law D3).
    set_to_zero: BTreeSet<u32>,
    pub(super) outbox: Outbox,
    /// The newest receipt whose epoch is committed, and an epoch at or after it.
    pub(super) acknowledged: (Receipt, u64),
    /// Deliveries that wait for their acknowledgement, with the moment of each.
    pub(super) in_flight: VecDeque<(Receipt, Timestamp)>,
    /// What of it the connector was told.
    pub(super) told: Receipt,
    /// What it is told next.
    pub(super) due: Option<Due>,
    pub(super) drain: Told,
    pub(super) stop: Told,
}

/// An acknowledgement on its way to the connector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) up_to: Receipt,
    pub(super) epoch: u64,
    /// The mark in the outbox that has to pass before it (law D1).
    pub(super) after: u64,
}

/// Whether a one-time event was asked for and told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Told {
    #[default]
    NotAsked,
    Asked,
    Done,
}

impl SlotState {
    pub(super) fn has_room(&self) -> bool {
        self.queue.is_empty()
            || (self.queued_rows + DELIVERY_ROWS_MAX <= QUEUE_ROWS_MAX
                && self.queued_bytes + DELIVERY_BYTES_MAX <= QUEUE_BYTES_MAX)
    }

    pub(super) fn partition_number(&mut self, topic: &str, partition: i32) -> u32 {
        let key = (topic.to_owned(), partition);
        let next_number = self.partitions.len() as u32;
        let number = *self.partition_numbers.entry(key).or_insert(next_number);
        if number == next_number {
            self.partitions.push(Position { topic: topic.to_owned(), partition, next: 0 });
        }
        number
    }

    /// The position of a partition, if one was taken or is stored.
    pub(super) fn known_position(&self, number: u32) -> Option<u64> {
        let next = self.partitions.get(number as usize)?.next;
        (next > 0 || self.set_to_zero.contains(&number)).then_some(next)
    }
}

/// One connection slot: the end of the bridge that the dataflow holds.
#[derive(Debug)]
pub struct Slot {
    /// Where it is.
    pub place: SlotPlace,
    /// Counters.
    pub statistics: SlotStatistics,
    /// What the connector says of its upstream.
    pub report: UpstreamReport,
    pub(super) edge: Arc<Edge>,
    pub(super) wake: Arc<Wake>,
    pub(super) pool: Arc<BufferPool>,
    pub(super) limits: OutboxLimits,
    state: Mutex<SlotState>,
    pub(super) room: Notify,
    pub(super) room_blocking: Condvar,
    pub(super) news: Notify,
    settled: Notify,
}

impl Slot {
    /// A slot whose source is woken by `wake`.
    pub fn new(
        place: SlotPlace,
        edge: Arc<Edge>,
        wake: Arc<Wake>,
        limits: OutboxLimits,
    ) -> Arc<Self> {
        Arc::new(Self {
            place,
            statistics: SlotStatistics::default(),
            report: UpstreamReport::default(),
            edge,
            wake,
            pool: Arc::default(),
            limits,
            state: Mutex::default(),
            room: Notify::new(),
            room_blocking: Condvar::new(),
            news: Notify::new(),
            settled: Notify::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().expect("a slot's state is never left half changed")
    }

    pub(super) fn wait_blocking<'s>(
        &self,
        state: MutexGuard<'s, SlotState>,
    ) -> MutexGuard<'s, SlotState> {
        self.room_blocking.wait(state).expect("a slot's state is never left half changed")
    }

    // ---- what the engine does

    /// Recovery: a stored position, before the first session (law D3).
    pub fn restore_position(&self, position: Position) {
        let mut state = self.state();
        let number = state.partition_number(&position.topic, position.partition);
        let known = &mut state.partitions[number as usize];
        known.next = known.next.max(position.next);
        if position.next == 0 {
            state.set_to_zero.insert(number);
        }
    }

    /// Recovery: unconfirmed feedback, in order, before the first session.
    pub fn restore_feedback(&self, entry: OutboxEntry) {
        self.state().outbox.put(OutboxEntry { cause: None, ..entry }, &self.limits);
    }

    /// Opens a session with a fresh link. Whatever an earlier session left is discarded (law S2).
    pub fn open(self: &Arc<Self>) -> Link {
        let mut state = self.state();
        self.discard_queue(&mut state);
        let session = self.statistics.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        state.session = session;
        state.first_receipt = state.last_receipt + 1;
        state.told = Receipt(state.last_receipt);
        state.due = None;
        (state.drain, state.stop) = (Told::NotAsked, Told::NotAsked);
        state.outbox.start_session();
        self.report.start_session();
        let known = state.partitions.iter().map(|position| position.next).collect();
        drop(state);
        // Halves of an earlier session that still wait see that it is over; else they would eat
        // the notifications of this one.
        self.notify_all();
        Link {
            intake: LinkIntake::new(Arc::clone(self), session, known),
            events: LinkEvents::new(Arc::clone(self), session),
        }
    }

    /// Ends the open session: what `source` has not taken is discarded, what it took goes on.
    pub fn close(&self) {
        let mut state = self.state();
        state.session = 0;
        state.due = None;
        state.outbox.end_session();
        self.discard_queue(&mut state);
        drop(state);
        self.notify_all();
    }

    fn discard_queue(&self, state: &mut SlotState) {
        self.edge.budget.free(state.queued_bytes);
        // What was not taken will never be acknowledged; it was the newest.
        let taken = state.in_flight.len() - state.queue.len();
        state.in_flight.truncate(taken);
        state.queue.clear();
        (state.queued_rows, state.queued_bytes) = (0, 0);
    }

    /// Tells the connector to read no more.
    pub fn drain(&self) {
        let mut state = self.state();
        if state.drain == Told::NotAsked {
            state.drain = Told::Asked;
        }
        drop(state);
        self.news.notify_one();
    }

    /// Tells the connector to disconnect and return.
    pub fn stop(&self) {
        let mut state = self.state();
        if state.stop == Told::NotAsked {
            state.stop = Told::Asked;
        }
        drop(state);
        self.news.notify_one();
    }

    /// Gives up feedback older than its expiry.
    pub fn expire_feedback(&self, now: Timestamp) {
        if self.state().outbox.expire(now, &self.limits) {
            self.wake.ring();
        }
    }

    fn notify_all(&self) {
        self.room.notify_waiters();
        self.room_blocking.notify_all();
        self.news.notify_one();
        self.settled.notify_waiters();
    }

    // ---- what the dataflow does; none of it waits

    /// Takes the oldest delivery; from here on its positions count as taken (law S2).
    pub fn take(&self) -> Option<Taken> {
        let mut state = self.state();
        let taken = state.queue.pop_front()?;
        state.queued_rows -= taken.rows;
        state.queued_bytes -= taken.bytes;
        for (partition, next) in &taken.positions {
            let known = &mut state.partitions[*partition as usize];
            known.next = known.next.max(*next);
        }
        drop(state);
        self.edge.budget.free(taken.bytes);
        self.room.notify_one();
        self.room_blocking.notify_one();
        Some(taken)
    }

    /// Whether nothing waits in the queue.
    pub fn is_empty(&self) -> bool {
        self.state().queue.is_empty()
    }

    /// Deliveries, rows and bytes that wait in the queue.
    pub fn queued(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.queue.len(), state.queued_rows, state.queued_bytes)
    }

    /// Topic and partition of a partition number.
    pub fn partition(&self, number: u32) -> Option<(String, i32)> {
        let state = self.state();
        state.partitions.get(number as usize).map(|known| (known.topic.clone(), known.partition))
    }

    /// What an epoch brought for this slot, after its commit and before its acknowledgement.
    pub fn hand(&self, row: LinkRow) {
        let mut state = self.state();
        let current = state.first_receipt;
        let (receipt, event) = match row {
            LinkRow::Feedback(mut entry) => {
                entry.cause = entry.cause.filter(|cause| cause.0 >= current);
                let gave_up = state.outbox.put(entry, &self.limits);
                drop(state);
                self.news.notify_one();
                if gave_up {
                    self.wake.ring();
                }
                return;
            }
            LinkRow::Rejected { receipt, index, dead_letter, reason } => {
                (receipt, LinkEvent::Rejected { receipt, index, dead_letter, reason })
            }
            LinkRow::Outcome { receipt, index, kind } => {
                (receipt, LinkEvent::Outcome { receipt, index, kind })
            }
        };
        // Receipts of an earlier session mean nothing to the upstream of this one.
        if state.session != 0 && receipt.0 >= current {
            state.outbox.tell(event);
            drop(state);
            self.news.notify_one();
        }
    }

    /// Everything up to `receipt` is committed, with an epoch at or after its own.
    pub fn acknowledge(&self, receipt: Receipt, epoch: u64) {
        let mut state = self.state();
        if receipt > state.acknowledged.0 {
            state.acknowledged = (receipt, epoch);
            let done = state.in_flight.partition_point(|(waiting, _)| *waiting <= receipt);
            state.in_flight.drain(..done);
            let settled = state.in_flight.is_empty();
            drop(state);
            self.news.notify_one();
            if settled {
                self.settled.notify_waiters();
            }
        }
    }

    /// Feedback confirmed and given up since the last call.
    pub fn take_confirmations(&self) -> Confirmations {
        let mut state = self.state();
        let confirmed = std::mem::take(&mut state.outbox.confirmed);
        let given_up = std::mem::take(&mut state.outbox.given_up);
        self.statistics.feedback_given_up.fetch_add(given_up.len() as u64, Ordering::Relaxed);
        Confirmations { confirmed, given_up }
    }

    /// Partitions of which anything was ever taken, with the next position.
    pub fn positions(&self) -> Vec<Position> {
        let state = self.state();
        let known = (0..).zip(&state.partitions);
        let known = known.filter(|(number, _)| state.known_position(*number).is_some());
        known.map(|(_, position)| position.clone()).collect()
    }

    /// Unconfirmed feedback with a ticket above `ticket`, in order, at most `most` of it.
    pub fn unconfirmed_behind(&self, ticket: u64, most: usize) -> Vec<(u64, Arc<OutboxEntry>)> {
        self.state().outbox.behind(ticket, most)
    }

    /// Feedback that was given up and that [`Self::take_confirmations`] has not taken yet.
    pub fn given_up(&self) -> Vec<Arc<OutboxEntry>> {
        self.state().outbox.given_up.iter().map(|(entry, _)| Arc::clone(entry)).collect()
    }

    /// Whether [`Self::take_confirmations`] would give anything.
    pub fn has_confirmations(&self) -> bool {
        let state = self.state();
        !state.outbox.confirmed.is_empty() || !state.outbox.given_up.is_empty()
    }

    /// The upstream has the feedback of this ticket.
    pub(super) fn confirm(&self, ticket: u64) {
        if self.state().outbox.confirm(ticket) {
            self.statistics.feedback_confirmed.fetch_add(1, Ordering::Relaxed);
            self.wake.ring();
        }
    }

    /// Nobody will ever take the feedback of this ticket, and why.
    pub(super) fn give_up(&self, ticket: u64, why: &'static str) {
        if self.state().outbox.give_up(ticket, why) {
            self.wake.ring();
        }
    }

    /// Everything unconfirmed is handed out again, in order, with new tickets.
    pub(super) fn hand_out_again(&self) {
        self.state().outbox.hand_out_again();
        self.news.notify_one();
    }

    // ---- what people ask

    /// Deliveries that wait for their acknowledgement.
    pub fn waiting_deliveries(&self) -> u64 {
        self.state().in_flight.len() as u64
    }

    /// When the oldest delivery was made that waits for its acknowledgement.
    pub fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.state().in_flight.front().map(|(_, moment)| *moment)
    }

    /// Waits until no delivery waits for its acknowledgement.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.state().in_flight.is_empty() {
                return;
            }
            settled.await;
        }
    }

    /// Feedback that waits for its confirmation.
    pub fn unconfirmed(&self) -> usize {
        self.state().outbox.len()
    }

    /// Last receipt given out and last one acknowledged.
    pub fn receipts(&self) -> (Receipt, Receipt) {
        let state = self.state();
        (Receipt(state.last_receipt), state.acknowledged.0)
    }

    /// Whether a session is open.
    pub fn is_open(&self) -> bool {
        self.state().session != 0
    }
}

/// What [`Slot::take_confirmations`] gives.
#[derive(Debug, Default)]
pub struct Confirmations {
    /// Their upstream has them.
    pub confirmed: Vec<Arc<OutboxEntry>>,
    /// Nobody will get them, and why.
    pub given_up: Vec<(Arc<OutboxEntry>, &'static str)>,
}
