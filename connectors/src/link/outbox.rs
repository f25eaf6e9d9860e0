//! Feedback that waits for its connector: everything unconfirmed, in order, bounded (law D6).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{FeedbackId, LinkEvent, Receipt};
use crate::message::{
    Timestamp,
    limits::{OUTBOX_BYTES_MAX, OUTBOX_MAX},
};

/// One feedback as it is stored and kept until it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Stable identity within the twin.
    pub id: FeedbackId,
    /// Number of the model.
    pub model: u16,
    /// The twin's id.
    pub twin: String,
    /// The delivery that caused it, if the upstream may ask.
    pub cause: Option<Receipt>,
    /// Names that the topic template of the twin's last message captured.
    pub names: Vec<(String, String)>,
    /// What the twin sent.
    pub payload: Vec<u8>,
    /// The time of the call that sent it.
    pub created_at: Timestamp,
}

impl OutboxEntry {
    fn bytes(&self) -> usize {
        self.payload.len() + self.twin.len() + 96
    }
}

/// How much unconfirmed feedback a connection keeps, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Entries.
    pub entries_max: usize,
    /// Bytes.
    pub bytes_max: usize,
    /// Seconds after which an entry is given up.
    pub expiry_secs: u64,
}

/// The defaults of law D6.
pub const OUTBOX_LIMITS: OutboxLimits =
    OutboxLimits { entries_max: OUTBOX_MAX, bytes_max: OUTBOX_BYTES_MAX, expiry_secs: 3600 };

/// What waits to be told to the connector, in order.
#[derive(Debug)]
pub(super) enum Waiting {
    Send(u64),
    Tell(LinkEvent),
}

/// Unconfirmed feedback by ticket, and the events of the open session.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    next_ticket: u64,
    unconfirmed: BTreeMap<u64, Arc<OutboxEntry>>,
    bytes: usize,
    pub(super) waiting: VecDeque<Waiting>,
    /// How many ever left `waiting`, by whichever end.
    passed: u64,
    /// Confirmed since the source last asked; each becomes a delivered mark.
    pub(super) confirmed: Vec<Arc<OutboxEntry>>,
    /// Given up since the source last asked; each becomes a dead letter and leaves the store.
    pub(super) given_up: Vec<(Arc<OutboxEntry>, &'static str)>,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.unconfirmed.len()
    }

    /// Takes a new entry; over the limits the oldest is given up (law D6: intake never stops).
    /// Says whether any was.
    pub(super) fn put(&mut self, entry: OutboxEntry, limits: &OutboxLimits) -> bool {
        let before = self.given_up.len();
        self.bytes += entry.bytes();
        self.hand_out(Arc::new(entry));
        while self.unconfirmed.len() > limits.entries_max || self.bytes > limits.bytes_max {
            let Some((_, oldest)) = self.unconfirmed.pop_first() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.given_up.push((oldest, "the outbox of its connection was full"));
        }
        self.forget_given_up();
        self.given_up.len() > before
    }

    /// What was given up is the oldest; without this its tickets would gather while nobody listens.
    fn forget_given_up(&mut self) {
        while let Some(Waiting::Send(ticket)) = self.waiting.front()
            && !self.unconfirmed.contains_key(ticket)
        {
            self.pop();
        }
    }

    /// Something for the open session only.
    pub(super) fn tell(&mut self, event: LinkEvent) {
        self.waiting.push_back(Waiting::Tell(event));
    }

    /// The oldest of what waits to be told.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let first = self.waiting.pop_front()?;
        self.passed += 1;
        Some(first)
    }

    /// A mark behind everything that waits now.
    pub(super) fn mark(&self) -> u64 {
        self.passed + self.waiting.len() as u64
    }

    /// Whether everything before a mark was told or given up.
    pub(super) fn has_passed(&self, mark: u64) -> bool {
        self.passed >= mark
    }

    /// The session is over: what only it could understand is dropped.
    pub(super) fn end_session(&mut self) {
        self.waiting.retain(|waiting| matches!(waiting, Waiting::Send(_)));
    }

    fn hand_out(&mut self, entry: Arc<OutboxEntry>) {
        self.next_ticket += 1;
        self.unconfirmed.insert(self.next_ticket, entry);
        self.waiting.push_back(Waiting::Send(self.next_ticket));
    }

    /// A new session: everything unconfirmed is handed out again, in order, with new tickets.
    pub(super) fn start_session(&mut self) {
        self.waiting.clear();
        for entry in std::mem::take(&mut self.unconfirmed).into_values() {
            self.hand_out(entry);
        }
    }

    /// The same within a session: what waits to be told stays, and finds its ticket gone.
    pub(super) fn hand_out_again(&mut self) {
        for entry in std::mem::take(&mut self.unconfirmed).into_values() {
            self.hand_out(entry);
        }
    }

    /// The upstream will never take this one; says whether it still waited.
    pub(super) fn give_up(&mut self, ticket: u64, why: &'static str) -> bool {
        let Some(entry) = self.unconfirmed.remove(&ticket) else {
            return false;
        };
        self.bytes -= entry.bytes();
        self.given_up.push((entry, why));
        true
    }

    pub(super) fn confirm(&mut self, ticket: u64) -> bool {
        let Some(entry) = self.unconfirmed.remove(&ticket) else {
            return false;
        };
        self.bytes -= entry.bytes();
        self.confirmed.push(entry);
        true
    }

    /// Gives up what is older than its expiry; says whether anything was.
    pub(super) fn expire(&mut self, now: Timestamp, limits: &OutboxLimits) -> bool {
        let before = self.given_up.len();
        let old = |entry: &OutboxEntry| entry.created_at.plus_secs(limits.expiry_secs) <= now;
        while let Some(first) = self.unconfirmed.first_entry().filter(|first| old(first.get())) {
            let entry = first.remove();
            self.bytes -= entry.bytes();
            self.given_up.push((entry, "its connection did not take it before it expired"));
        }
        self.forget_given_up();
        self.given_up.len() > before
    }

    /// Unconfirmed entries with a ticket above `ticket`. Whatever is handed out again gets tickets
    /// above all that were ever given, so a walk by them misses nothing.
    pub(super) fn behind(&self, ticket: u64, most: usize) -> Vec<(u64, Arc<OutboxEntry>)> {
        let later = self.unconfirmed.range(ticket + 1..).take(most);
        later.map(|(ticket, entry)| (*ticket, Arc::clone(entry))).collect()
    }

    /// The entry of a ticket, unless it was confirmed or given up meanwhile.
    pub(super) fn entry(&self, ticket: u64) -> Option<&Arc<OutboxEntry>> {
        self.unconfirmed.get(&ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u32, at: u64) -> OutboxEntry {
        OutboxEntry {
            id: FeedbackId { generation: 1, epoch: 2, index },
            model: 0,
            twin: "t".into(),
            cause: None,
            names: Vec::new(),
            payload: vec![0; 10],
            created_at: Timestamp(at),
        }
    }

    #[test]
    fn unconfirmed_feedback_is_handed_out_again_in_order() {
        let mut outbox = Outbox::default();
        for index in 0..3 {
            outbox.put(entry(index, 0), &OUTBOX_LIMITS);
        }
        assert!(outbox.confirm(2));
        assert!(!outbox.confirm(2), "confirmed once only");
        outbox.start_session();
        let again: Vec<_> = outbox
            .waiting
            .iter()
            .map(|waiting| match waiting {
                Waiting::Send(ticket) => outbox.entry(*ticket).unwrap().id.index,
                Waiting::Tell(_) => panic!("only feedback waits"),
            })
            .collect();
        assert_eq!(again, [0, 2]);
    }

    #[test]
    fn what_is_handed_out_again_keeps_its_order_and_passes_every_mark() {
        let mut outbox = Outbox::default();
        for index in 0..3 {
            outbox.put(entry(index, 0), &OUTBOX_LIMITS);
        }
        outbox.pop();
        let mark = outbox.mark();
        assert!(outbox.give_up(2, "too large") && !outbox.give_up(2, "too large"));
        outbox.hand_out_again();
        let mut told = Vec::new();
        while let Some(Waiting::Send(ticket)) = outbox.pop() {
            told.extend(outbox.entry(ticket).map(|entry| entry.id.index));
        }
        assert_eq!(told, [0, 2]);
        assert!(
            outbox.has_passed(mark),
            "an acknowledgement never waits for a ticket that is gone"
        );
        assert_eq!(outbox.given_up.len(), 1);
    }

    #[test]
    fn a_walk_by_tickets_sees_what_is_handed_out_again_in_between() {
        let mut outbox = Outbox::default();
        for index in 0..5 {
            outbox.put(entry(index, 0), &OUTBOX_LIMITS);
        }
        let mut seen = Vec::new();
        let mut ticket = 0;
        while let Some((last, found)) = outbox.behind(ticket, 1).pop() {
            ticket = last;
            seen.push(found.id.index);
            if seen.len() == 2 {
                outbox.hand_out_again();
            }
        }
        assert_eq!(seen, [0, 1, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_oldest_is_given_up_when_full_or_expired() {
        let limits = OutboxLimits { entries_max: 2, ..OUTBOX_LIMITS };
        let mut outbox = Outbox::default();
        for index in 0..3 {
            outbox.put(entry(index, u64::from(index)), &limits);
        }
        assert_eq!((outbox.len(), outbox.given_up.len()), (2, 1));
        assert!(!outbox.expire(Timestamp(1), &limits));
        assert!(outbox.expire(Timestamp(1).plus_secs(3600), &limits));
        assert_eq!((outbox.len(), outbox.given_up.len()), (1, 2));
    }
}
