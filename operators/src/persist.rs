//! Hands an epoch's changes to the store and keeps its capability until they are durable.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        Stream,
        channels::pact::Pipeline,
        operators::{Capability, InputCapability, generic::operator::Operator},
    },
};

use crate::{
    gathered::Gathered,
    mistakes::{self, Mistake},
    process::{twins::Twins, write_owed},
    store::EpochPart,
    worker::WorkerShared,
};

/// An epoch whose changes are durable on the worker that says so.
pub(crate) type Durable = Vec<u64>;

/// Builds the operator; `first` is written in the generation's first epoch. `changed` says in which
/// epochs the twins wrote something; what that is, is in [`WorkerShared::gathered`].
pub(crate) fn persist<'scope>(
    changed: Stream<'scope, u64, Vec<u64>>,
    source_parts: Stream<'scope, u64, Vec<EpochPart>>,
    twins: Rc<RefCell<Twins>>,
    shared: &Rc<WorkerShared>,
    first: Option<EpochPart>,
) -> Stream<'scope, u64, Durable> {
    let scope = changed.scope();
    let shared = Rc::clone(shared);
    changed.binary_frontier::<_, CapacityContainerBuilder<Durable>, _, _, _, _>(
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
            drop(initial);
            let mut of_source: BTreeMap<u64, Vec<EpochPart>> = BTreeMap::new();
            of_source.extend(first.map(|first| (shared.setup.first_epoch, vec![first])));
            let mut owed: BTreeMap<u64, Capability<u64>> = BTreeMap::new();
            // Below the first everything is worked off, below the second it is handed over.
            let (mut closed, mut handed) = (0, 0);
            // Counted along: a group may have thousands of epochs.
            let mut source_bytes = bytes_of(&of_source);
            move |(changed, frontier), (source_parts, source_frontier), output| {
                let index = output.output_index();
                let mut owe = |capability: InputCapability<u64>| {
                    let held = capability.retain_least(index)?;
                    let epoch = *held.time();
                    owed.entry(epoch).or_insert(held);
                    Some(epoch)
                };
                changed.for_each(|capability, epochs| {
                    epochs.clear();
                    owe(capability);
                });
                source_parts.for_each(|capability, parts| {
                    let Some(epoch) = owe(capability) else { return };
                    source_bytes += parts.iter().map(|part| part.bytes().len() as u64).sum::<u64>();
                    of_source.entry(epoch).or_default().append(parts);
                });
                // Complete epochs go to the store; their capabilities stay here.
                // An empty frontier is the end: epochs after the newest never were.
                let newest = owed.last_key_value().map_or(closed, |(epoch, _)| epoch + 1);
                let processed = frontier.frontier().first().copied();
                shared.processed.note(processed);
                let first =
                    processed.into_iter().chain(source_frontier.frontier().first().copied()).min();
                closed = first.unwrap_or(newest).max(closed);
                let gathered = &mut *shared.gathered.borrow_mut();
                let cut = store.cut(worker, closed, gathered.bytes() + source_bytes);
                // The end of a group is one epoch for all workers, and may be ahead of this one.
                if cut > handed && cut <= closed {
                    let twins = &mut *twins.borrow_mut();
                    // If an epoch behind the cut has begun, they are written.
                    let part = twins.owes().and_then(|number| gathered.ended(number, cut));
                    if let Some(part) = part {
                        write_owed(&shared, twins, part);
                    }
                    hand_over(gathered, &mut of_source, cut, |epoch, part| {
                        store.append(worker, epoch, part);
                    });
                    store.closed(worker, cut);
                    (handed, source_bytes) = (cut, bytes_of(&of_source));
                }
                let early = mistakes::has(Mistake::AcknowledgeBeforeDurable);
                let durable = if early { closed } else { store.durable(worker) };
                while let Some(done) = owed.first_entry().filter(|owed| {
                    // Nothing is durable before it was handed over, whatever the store says.
                    *owed.key() < durable && *owed.key() < handed
                }) {
                    let (epoch, capability) = done.remove_entry();
                    output.session(&capability).give(epoch);
                }
            }
        },
    )
}

/// Bytes of what the source wrote and nobody handed over.
fn bytes_of(of_source: &BTreeMap<u64, Vec<EpochPart>>) -> u64 {
    of_source.values().flatten().map(|part| part.bytes().len() as u64).sum()
}

/// Hands over everything before `end` in the order of epochs; of one epoch what the source wrote
/// comes first. So feedback that the source rewrites is in front of what ends it.
fn hand_over(
    gathered: &mut Gathered,
    of_source: &mut BTreeMap<u64, Vec<EpochPart>>,
    end: u64,
    mut append: impl FnMut(u64, EpochPart),
) {
    let mut sources = |end: u64, append: &mut dyn FnMut(u64, EpochPart)| {
        while let Some(first) = of_source.first_entry().filter(|first| *first.key() < end) {
            let (epoch, parts) = first.remove_entry();
            parts.into_iter().for_each(|part| append(epoch, part));
        }
    };
    while let Some((epoch, part)) = gathered.take_before(end) {
        sources(epoch + 1, &mut append);
        append(epoch, part);
    }
    sources(end, &mut append);
}
