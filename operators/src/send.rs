//! Feedback and failures to the links, once their epoch is committed (law D1).
//!
//! It never waits for a connection: rows go into the outbox of their slot. It keeps an epoch's
//! capability until they are there, so that `acknowledge`, which reads its output, comes later.

use std::{collections::BTreeMap, rc::Rc};

use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        Stream,
        channels::pact::{Exchange, Pipeline},
        operators::{Capability, generic::operator::Operator},
    },
};

use crate::{
    mistakes::{self, Mistake},
    persist::Durable,
    process::scope::SlotRow,
    worker::WorkerShared,
};

/// Builds the operator.
pub(crate) fn send<'scope>(
    rows: Stream<'scope, u64, Vec<SlotRow>>,
    committed: Stream<'scope, u64, Durable>,
    shared: &Rc<WorkerShared>,
) -> Stream<'scope, u64, Vec<()>> {
    let shared = Rc::clone(shared);
    let workers: Vec<u64> =
        shared.setup.slots.iter().map(|slot| slot.place.worker as u64).collect();
    rows.binary_frontier::<Durable, CapacityContainerBuilder<Vec<()>>, _, _, _, _>(
        committed,
        Exchange::new(move |(slot, _): &SlotRow| workers[usize::from(*slot)]),
        Pipeline,
        "send",
        move |initial, _info| {
            drop(initial);
            let mut waiting: BTreeMap<u64, (Capability<u64>, Vec<SlotRow>)> = BTreeMap::new();
            move |(rows, rows_frontier), (committed, committed_frontier), output| {
                rows.for_each(|capability, rows| {
                    let Some(held) = capability.retain_least(output.output_index()) else { return };
                    let of = waiting.entry(*held.time()).or_insert_with(|| (held, Vec::new()));
                    of.1.append(rows);
                });
                committed.for_each(|_capability, epochs| epochs.clear());
                let early = mistakes::has(Mistake::FeedbackBeforeCommit);
                while let Some(first) = waiting.first_entry().filter(|first| {
                    let epoch = first.key();
                    let is_committed = early || !committed_frontier.less_equal(epoch);
                    !rows_frontier.less_equal(epoch) && is_committed
                }) {
                    let (_held, rows) = first.remove();
                    for (slot, row) in rows {
                        shared.setup.slots[usize::from(slot)].hand(row);
                    }
                }
            }
        },
    )
}
