//! Turns the frontier at the end of the graph into acknowledgements to links.
//!
//! Runs on every worker. It holds no state of its own: the ledger knows which receipts wait for
//! which epoch, the frontier says which epochs are committed everywhere and handed to the links.
//! The one rule: a receipt is released only when its epoch is strictly before the frontier.

use std::{rc::Rc, sync::atomic::Ordering};

use timely::dataflow::{Stream, channels::pact::Pipeline, operators::generic::operator::Operator};

use crate::worker::WorkerShared;

/// Builds the operator.
pub(crate) fn acknowledge(sent: Stream<'_, u64, Vec<()>>, shared: &Rc<WorkerShared>) {
    let shared = Rc::clone(shared);
    sent.sink(Pipeline, "acknowledge", move |(input, frontier)| {
        input.for_each(|_capability, none| none.clear());
        let through = frontier.frontier().first().copied();
        shared.committed.note(through);
        let setup = &shared.setup;
        setup.dead_letters.commit(through.map_or(u64::MAX, |epoch| epoch.saturating_sub(1)));
        let now = through.unwrap_or(u64::MAX);
        if setup.progress.committed.fetch_max(now, Ordering::AcqRel) < now {
            setup.progress.bell.ring();
        }
        shared.ledger.borrow_mut().release(through, |epoch, slot, receipt| {
            setup.slots[usize::from(slot)].acknowledge(receipt, epoch);
        });
    });
}
