//! A table beside the messages: the states of a model, on every worker.
//!
//! The table is what `process` made of its model in all earlier epochs, carried back in a loop that
//! adds one to the epoch, and what was recovered comes before everything. So it is the same before
//! and after a restart, and on all workers.

use std::{collections::BTreeMap, collections::HashMap, rc::Rc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use timely::{
    container::{CapacityContainerBuilder, NoopBuilder},
    dataflow::{
        Stream,
        channels::pact::{Exchange, Pipeline},
        operators::{Capability, generic::operator::Operator},
    },
};

use super::{change::Change, inbound::Inbound, out::Out, stage::Stage};
use crate::{
    frame::Frame,
    model::{ProcessingError, RawState},
    worker::WorkerShared,
};

/// The twins of a model as every worker knows them, by id.
#[derive(Debug)]
pub struct Table<V> {
    rows: HashMap<String, V>,
}

impl<V> Table<V> {
    /// The state of a twin, as it was at the end of the epoch before.
    pub fn get(&self, twin: &str) -> Option<&V> {
        self.rows.get(twin)
    }

    /// How many twins there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A row of a table on its way to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TableRow {
    to: u64,
    twin: String,
    /// The state in its stored form; `None`: the twin is gone.
    state: Option<Vec<u8>>,
}

/// Gives every change to every worker.
pub(crate) fn to_all<'scope>(
    changes: Stream<'scope, u64, Vec<Change<Vec<u8>>>>,
) -> Stream<'scope, u64, Vec<TableRow>> {
    let workers = changes.scope().peers() as u64;
    changes.unary::<CapacityContainerBuilder<Vec<TableRow>>, _, _, _>(
        Pipeline,
        "table rows",
        move |initial, _info| {
            drop(initial);
            move |input, output| {
                input.for_each(|capability, changes| {
                    let mut session = output.session(&capability);
                    for Change { twin, is, .. } in changes.drain(..) {
                        for to in 0..workers {
                            session.give(TableRow { to, twin: twin.clone(), state: is.clone() });
                        }
                    }
                });
            }
        },
    )
}

/// What waits for its turn in front of an `enrich`.
struct Waiting<V> {
    name: String,
    rows: BTreeMap<u64, (Capability<u64>, Vec<Frame>)>,
    updates: BTreeMap<u64, Vec<TableRow>>,
    table: Table<V>,
}

impl<V: DeserializeOwned> Waiting<V> {
    /// The table as of the end of the epoch before `epoch`.
    fn move_to(&mut self, epoch: u64) {
        while let Some(first) = self.updates.first_entry().filter(|it| *it.key() <= epoch) {
            for TableRow { twin, state, .. } in first.remove() {
                match state.map(|state| RawState::new(&state).deserialize::<V>()) {
                    Some(Ok(value)) => drop(self.table.rows.insert(twin, value)),
                    None => drop(self.table.rows.remove(&twin)),
                    Some(Err(error)) => {
                        let (table, why) = (&self.name, error.to_string());
                        tracing::error!(table, twin, why, "a state does not fit its table");
                        self.table.rows.remove(&twin);
                    }
                }
            }
        }
    }
}

/// Gives each message and the table to `with`. Messages of the table's own model go on as they are.
pub(crate) fn enrich<'scope, V: DeserializeOwned + 'static>(
    rows: Stream<'scope, u64, Frame>,
    updates: Stream<'scope, u64, Vec<TableRow>>,
    shared: &Rc<WorkerShared>,
    name: &str,
    with: impl Fn(&Inbound<'_>, &Table<V>, &mut Out<'_>) -> Result<(), ProcessingError> + 'static,
) -> Stream<'scope, u64, Frame> {
    let mut stage = Stage::new(shared, true);
    let table = Table { rows: HashMap::new() };
    let (rows_waiting, updates_waiting) = (BTreeMap::new(), BTreeMap::new());
    let mut waiting =
        Waiting { name: name.to_owned(), rows: rows_waiting, updates: updates_waiting, table };
    rows.binary_frontier::<Vec<TableRow>, NoopBuilder<Frame>, _, _, _, _>(
        updates,
        Pipeline,
        Exchange::new(|row: &TableRow| row.to),
        "enrich",
        move |initial, _info| {
            drop(initial);
            move |(rows, rows_frontier), (updates, updates_frontier), output| {
                let index = output.output_index();
                rows.for_each(|capability, frame| {
                    let Some(held) = capability.retain_least(index) else { return };
                    let of = waiting.rows.entry(*held.time()).or_insert_with(|| (held, Vec::new()));
                    of.1.push(std::mem::take(frame));
                });
                updates.for_each(|capability, rows| {
                    // A row without an epoch would be one of no change.
                    let Some(epoch) = capability.least().copied() else { return };
                    waiting.updates.entry(epoch).or_default().append(rows);
                });
                // An epoch's turn has come when no earlier row can come any more, and no change of
                // an earlier epoch, which the loop brings at this one.
                while let Some(first) = waiting.rows.first_entry().filter(|first| {
                    let epoch = first.key();
                    !rows_frontier.less_than(epoch) && !updates_frontier.less_equal(epoch)
                }) {
                    let (epoch, (capability, frames)) = first.remove_entry();
                    waiting.move_to(epoch);
                    let Waiting { name, table, .. } = &waiting;
                    let mut made = stage.run(&frames, |message, out| {
                        if message.model == name { out.pass() } else { with(message, table, out) }
                    });
                    let mut session = output.session_with_builder(&capability);
                    made.iter_mut().for_each(|frame| session.give_container(frame));
                }
                // Changes that no row is too early for need not wait for the next one.
                let rows = waiting.rows.keys().next().copied();
                let rows = rows.into_iter().chain(rows_frontier.frontier().first().copied()).min();
                let complete = updates_frontier.frontier().first().map(|open| open.max(&1) - 1);
                if let Some(through) = rows.into_iter().chain(complete).min() {
                    waiting.move_to(through);
                }
            }
        },
    )
}
