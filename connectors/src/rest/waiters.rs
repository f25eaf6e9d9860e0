//! Who waits for which delivery of one session, and what is known of it so far.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::oneshot;

use super::replies::{Home, Replies};
use crate::link::{Feedback, OutcomeKind, Receipt};

/// What became of one delivery.
#[derive(Debug)]
pub(super) struct Part {
    /// An epoch at or after the one that applied it.
    pub(super) epoch: u64,
    pub(super) replies: Replies,
    /// Place in the delivery, number of the dead letter, reason.
    pub(super) rejected: Vec<(u32, u64, String)>,
    /// Place in the delivery and what happened.
    pub(super) outcomes: Vec<(u32, OutcomeKind)>,
}

#[derive(Debug)]
struct Entry {
    part: Part,
    done: oneshot::Sender<Part>,
}

#[derive(Debug)]
struct Table {
    open: bool,
    entries: BTreeMap<u64, Entry>,
}

/// The waiting requests of one session.
#[derive(Debug)]
pub(super) struct Waiters {
    home: Arc<Home>,
    table: Mutex<Table>,
}

impl Waiters {
    pub(super) fn new(home: Arc<Home>) -> Arc<Self> {
        let table = Mutex::new(Table { open: true, entries: BTreeMap::new() });
        Arc::new(Self { home, table })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("the waiters are never left half changed")
    }

    /// Waits for a delivery; must be called before the delivery is made. `None` when the session is
    /// over.
    pub(super) fn register(self: &Arc<Self>, receipt: Receipt) -> Option<Waiter> {
        let (done, outcome) = oneshot::channel();
        let replies = Replies::new(&self.home);
        let part = Part { epoch: 0, replies, rejected: Vec::new(), outcomes: Vec::new() };
        let mut table = self.table();
        if !table.open {
            return None;
        }
        table.entries.insert(receipt.0, Entry { part, done });
        drop(table);
        Some(Waiter { waiters: Arc::clone(self), receipt, outcome })
    }

    /// Feedback goes into the answer of its cause, or to its twin's mailbox.
    pub(super) fn feedback(&self, feedback: Feedback) {
        let mut table = self.table();
        let cause = feedback.cause.map_or(0, |receipt| receipt.0);
        if let Some(entry) = table.entries.get_mut(&cause) {
            entry.part.replies.push(feedback);
        } else {
            drop(table);
            self.home.mailboxes.put(&self.home.confirmer, feedback);
        }
    }

    pub(super) fn rejected(&self, receipt: Receipt, index: u32, dead_letter: u64, reason: String) {
        if let Some(entry) = self.table().entries.get_mut(&receipt.0) {
            entry.part.rejected.push((index, dead_letter, reason));
        }
    }

    pub(super) fn outcome(&self, receipt: Receipt, index: u32, kind: OutcomeKind) {
        if let Some(entry) = self.table().entries.get_mut(&receipt.0) {
            entry.part.outcomes.push((index, kind));
        }
    }

    /// Everything up to a delivery is committed: its answers are complete (law D1).
    pub(super) fn acknowledged(&self, up_to: Receipt, epoch: u64) {
        let mut table = self.table();
        let later = table.entries.split_off(&(up_to.0 + 1));
        let done = std::mem::replace(&mut table.entries, later);
        drop(table);
        for mut entry in done.into_values() {
            entry.part.epoch = epoch;
            // When the caller has gone, dropping the part brings its feedback to the mailbox.
            drop(entry.done.send(entry.part));
        }
    }

    /// The session is over; what became of the rest is not known.
    pub(super) fn close(&self) {
        let mut table = self.table();
        table.open = false;
        let unknown = std::mem::take(&mut table.entries);
        drop(table);
        drop(unknown);
    }
}

/// One delivery that a request waits for. Dropped, nobody waits any more; the messages are
/// processed all the same.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    receipt: Receipt,
    outcome: oneshot::Receiver<Part>,
}

impl Waiter {
    /// What became of it; `None` when the session ended before that was known.
    pub(super) async fn outcome(mut self) -> Option<Part> {
        (&mut self.outcome).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let gone = self.waiters.table().entries.remove(&self.receipt.0);
        drop(gone); // Outside the lock: its feedback goes to its mailbox.
    }
}
