//! Worker 0 makes epochs count once no worker can owe a write any more.

use std::{collections::BTreeMap, sync::Arc};

use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        Stream,
        channels::pact::Exchange,
        operators::{Capability, generic::operator::Operator},
    },
};

use crate::{persist::Durable, store::EpochStore};

/// Builds the operator. Its frontier is the durable frontier: below it every epoch is committed.
pub(crate) fn commit<'scope>(
    durable: Stream<'scope, u64, Durable>,
    store: Arc<dyn EpochStore>,
) -> Stream<'scope, u64, Durable> {
    durable.unary_frontier::<CapacityContainerBuilder<Durable>, _, _, _>(
        Exchange::new(|_: &u64| 0),
        "commit",
        move |initial, _info| {
            drop(initial);
            let mut owed: BTreeMap<u64, Capability<u64>> = BTreeMap::new();
            move |(input, frontier), output| {
                input.for_each(|capability, epochs| {
                    if let Some(held) = capability.retain_least(output.output_index()) {
                        owed.entry(*held.time()).or_insert(held);
                    }
                    epochs.clear();
                });
                let complete = owed.keys().copied().take_while(|e| !frontier.less_equal(e));
                if let Some(newest) = complete.last() {
                    let committed = store.commit(newest);
                    owed.retain(|epoch, _| *epoch > committed);
                }
            }
        },
    )
}
