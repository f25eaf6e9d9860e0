//! Exchange by owner, group per epoch and twin, decode, call: the operator around [`twins`].

mod call;
mod encoding;
mod failing;
pub(crate) mod guard;
pub(crate) mod ids;
pub(crate) mod load;
pub(crate) mod model_worker;
mod pending;
mod places;
mod repeats;
mod replays;
mod requests;
pub(crate) mod routes;
pub(crate) mod scope;
mod settings;
mod statistics;
pub(crate) mod sweep;
mod table;
mod tapped;
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;
mod twin_run;
pub(crate) mod twins;
pub(crate) mod watch;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use timely::{
    container::{CapacityContainerBuilder, NoopBuilder},
    dataflow::{
        Stream,
        channels::pact::DistributorPact,
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
};

pub use self::{
    guard::in_guarded_call,
    model_worker::TwinPage,
    settings::{ModelSettings, OnFailure},
    statistics::ModelStatistics,
};

use self::{scope::SlotRow, twins::Twins, watch::AnyWatcher};
use crate::{
    frame::{ByOwner, Frame},
    mistakes::{self, Mistake},
    progress::Ask,
    store::EpochPart,
    worker::WorkerShared,
};

/// Slots that one page of a walk looks at in one activation (law R1).
const PAGE_SLOTS_MAX: usize = 1000;

/// What `process` gives: changes to `persist`, rows for links to `send`.
pub(crate) struct Processed<'scope> {
    /// Epochs in which something was written, or in which it may have been and is watched.
    pub(crate) changed: Stream<'scope, u64, Vec<u64>>,
    pub(crate) link_rows: Stream<'scope, u64, Vec<SlotRow>>,
    /// The twins of this worker, for who wants to watch them.
    pub(crate) twins: Rc<RefCell<Twins>>,
}

impl Processed<'_> {
    /// Tells `watcher` of the changes of a model, first of all twins that are there. Where that
    /// cannot be, the start fails.
    pub(crate) fn watch(&self, shared: &WorkerShared, model: &str, watcher: AnyWatcher) {
        let number = shared.setup.edge.models.number(model);
        let watched = match number {
            Some(number) => self.twins.borrow_mut().watch(number, watcher, true),
            None => Err("there is no such model".to_owned()),
        };
        if let Err(why) = watched {
            shared.misbuilt(format!("model \"{model}\": {why}"));
        }
    }
}

/// An epoch whose rows still come in.
struct Stashed {
    changed: Capability<u64>,
    link_rows: Capability<u64>,
    frames: Vec<Frame>,
}

/// Builds the operator.
pub(crate) fn process<'scope>(
    rows: Stream<'scope, u64, Frame>,
    shared: &Rc<WorkerShared>,
    twins: Twins,
) -> Processed<'scope> {
    let scope = rows.scope();
    let mut builder = OperatorBuilder::new("process".to_owned(), scope);
    let mut input = builder.new_input(rows, DistributorPact(|_peers| ByOwner));
    let (changed_port, changed) = builder.new_output::<Vec<u64>>();
    let (link_port, link_rows) = builder.new_output::<Vec<SlotRow>>();
    let mut changed_port =
        OutputBuilder::<u64, CapacityContainerBuilder<Vec<u64>>>::from(changed_port);
    let mut link_port = OutputBuilder::<u64, NoopBuilder<Vec<SlotRow>>>::from(link_port);
    let address = builder.operator_info().address;
    let again = scope.activator_for(address.clone());
    let bell = scope.worker().sync_activator_for(address.to_vec());
    shared.setup.control.attach(move || {
        // A worker that has ended answers nobody.
        let _gone = bell.activate().is_err();
    });
    let shared = Rc::clone(shared);
    let twins = Rc::new(RefCell::new(twins));
    let watched = Rc::clone(&twins);
    builder.build(move |initial| {
        drop(initial);
        let mut stash: BTreeMap<u64, Stashed> = BTreeMap::new();
        move |frontiers| {
            let frontier = frontiers[0].frontier();
            let twins = &mut *twins.borrow_mut();
            input.for_each(|capability, frame| {
                // An empty stamp would mean rows outside of every epoch; our sources send none.
                let Some(changed) = capability.retain_least(0) else { return };
                let Some(link_rows) = capability.retain_least(1) else { return };
                let epoch = *changed.time();
                let stashed = stash.entry(epoch).or_insert_with(|| Stashed {
                    changed,
                    link_rows,
                    frames: Vec::new(),
                });
                stashed.frames.push(std::mem::take(frame));
            });
            let complete = |epoch: &u64| !frontier.less_equal(epoch);
            if let Some(first) = stash.first_entry().filter(|first| complete(first.key())) {
                let (epoch, stashed) = first.remove_entry();
                let part = open_part(&shared, twins, epoch);
                let mut result = twins.apply(epoch, &stashed.frames, part);
                if let Some(why) = result.halted {
                    halt(&shared, why);
                }
                let wrote = shared.gathered.borrow_mut().put_back(epoch, result.part);
                if wrote || twins.is_watched() {
                    changed_port.activate().session(&stashed.changed).give(epoch);
                }
                if !result.link_rows.is_empty() {
                    let mut output = link_port.activate();
                    let mut session = output.session_with_builder(&stashed.link_rows);
                    session.give_container(&mut result.link_rows);
                }
            }
            // One at a time: between two of them the source closes more for the other workers.
            if stash.first_key_value().is_some_and(|(epoch, _)| complete(epoch)) {
                again.activate();
            }
            answer(twins, &shared);
        }
    });
    Processed { changed, link_rows, twins: watched }
}

/// The part that an epoch writes to. Before the first epoch of a group, the states that are owed to
/// the part of the last one are written: they are still as that group left them.
fn open_part(shared: &WorkerShared, twins: &mut Twins, epoch: u64) -> EpochPart {
    let setup = &shared.setup;
    let gathered = &mut *shared.gathered.borrow_mut();
    let part = gathered.open(setup.index, epoch, &*setup.store);
    let owed_to = twins.owes().filter(|number| *number != part.number());
    if !mistakes::has(Mistake::StatesWrittenLate)
        && let Some(earlier) = owed_to.and_then(|number| gathered.ended(number, epoch))
    {
        write_owed(shared, twins, earlier);
    }
    part
}

/// Writes the states that are owed to a part.
pub(crate) fn write_owed(shared: &WorkerShared, twins: &mut Twins, part: &mut EpochPart) {
    if let Err(why) = twins.write_owed(part) {
        halt(shared, why);
    }
}

/// A model's policy is `halt` and it failed, or a state that could be written cannot be written any
/// more: this epoch must never count (law P5).
fn halt(shared: &WorkerShared, why: String) {
    let _halted_before = shared.setup.progress.halted.set(why.clone()).is_err();
    (shared.setup.on_halt)(&why);
    panic!("this epoch must not count: {why}");
}

/// Answers what was asked between epochs (law R1).
fn answer(twins: &Twins, shared: &WorkerShared) {
    while let Some(ask) = shared.setup.control.next_ask() {
        match ask {
            Ask::State { model, id, answer } => {
                let hash = twinflow_connectors::route::twin_hash(id.as_bytes());
                answer(twins.peek(model, hash, &id));
            }
            Ask::Page { model, start, limit, answer } => {
                answer(twins.page(model, start, PAGE_SLOTS_MAX, limit));
            }
        }
    }
}
