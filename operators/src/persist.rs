//! Hands an epoch's changes to the store and keeps its capability until they are durable.

use std::{collections::BTreeMap, rc::Rc};

use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        Stream,
        channels::pact::Pipeline,
        operators::{Capability, InputCapability, generic::operator::Operator},
    },
};

use crate::{store::EpochPart, worker::WorkerShared};

/// An epoch whose changes are durable on the worker that says so.
pub(crate) type Durable = Vec<u64>;

/// Builds the operator; `first` is written in the generation's first epoch.
pub(crate) fn persist<'scope>(
    parts: Stream<'scope, u64, Vec<EpochPart>>,
    source_parts: Stream<'scope, u64, Vec<EpochPart>>,
    shared: &Rc<WorkerShared>,
    first: Option<EpochPart>,
) -> Stream<'scope, u64, Durable> {
    let scope = parts.scope();
    let shared = Rc::clone(shared);
    parts.binary_frontier::<_, CapacityContainerBuilder<Durable>, _, _, _, _>(
        source_parts,
        Pipeline,
        Pipeline,
        "persist",
        move |initial, info| {
            let (worker, store) = (shared.setup.index, std::sync::Arc::clone(&shared.setup.store));
            let bell = scope.worker().sync_activator_for(info.address.to_vec());
            store.attach(
                worker,
                Box::new(move || {
                    // A worker that has ended needs no wake-up.
                    let _gone = bell.activate().is_err();
                }),
            );
            if let Some(part) = first {
                store.append(worker, shared.setup.first_epoch, part);
            }
            let mut closed = 0;
            drop(initial);
            let mut open: BTreeMap<u64, EpochPart> = BTreeMap::new();
            let mut owed: BTreeMap<u64, Capability<u64>> = BTreeMap::new();
            move |(parts, frontier), (source_parts, source_frontier), output| {
                let index = output.output_index();
                let mut take = |capability: InputCapability<u64>, parts: &mut Vec<EpochPart>| {
                    let Some(held) = capability.retain_least(index) else { return };
                    let epoch = *held.time();
                    for part in parts.drain(..) {
                        gather(&mut open, epoch, part);
                    }
                    owed.entry(epoch).or_insert(held);
                };
                parts.for_each(&mut take);
                source_parts.for_each(take);
                // Complete epochs go to the store; their capabilities stay here.
                // An empty frontier is the end: epochs after the newest never were.
                let newest = owed.last_key_value().map_or(closed, |(epoch, _)| epoch + 1);
                let processed = frontier.frontier().first().copied();
                shared.processed.note(processed);
                let first =
                    processed.into_iter().chain(source_frontier.frontier().first().copied()).min();
                let through = first.unwrap_or(newest.max(closed));
                if through > closed {
                    while let Some(part) = open.first_entry().filter(|part| *part.key() < through) {
                        let (epoch, part) = part.remove_entry();
                        store.append(worker, epoch, part);
                    }
                    store.closed(worker, through);
                    closed = through;
                }
                let durable = store.durable(worker);
                while let Some(done) = owed.first_entry().filter(|owed| {
                    // Nothing is durable before it was handed over, whatever the store says.
                    *owed.key() < durable && *owed.key() < closed
                }) {
                    let (epoch, capability) = done.remove_entry();
                    output.session(&capability).give(epoch);
                }
            }
        },
    )
}

/// Adds a part to those of its epoch. Their order means nothing: no two parts share a key.
fn gather(open: &mut BTreeMap<u64, EpochPart>, epoch: u64, mut part: EpochPart) {
    match open.entry(epoch) {
        std::collections::btree_map::Entry::Vacant(none) => {
            none.insert(part);
        }
        std::collections::btree_map::Entry::Occupied(mut known) => {
            // The few entries of the source are copied, not the many of the twins.
            let known = known.get_mut();
            if known.bytes().len() < part.bytes().len() {
                std::mem::swap(known, &mut part);
            }
            known.extend(&part);
        }
    }
}
