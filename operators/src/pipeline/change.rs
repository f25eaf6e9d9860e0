//! Changes of twins as a stream: what process did to each, at the epoch that did it.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use timely::{
    container::CapacityContainerBuilder,
    dataflow::{Stream, channels::pact::Pipeline, operators::generic::operator::Operator},
};
use twinflow_connectors::message::Timestamp;

/// What one epoch made of one twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<M> {
    /// The epoch. What was there when the engine started has that of the last commit before.
    pub epoch: u64,
    /// The epoch's time (law P6).
    pub at: Timestamp,
    /// The latest time that the twin's messages of the epoch had from their source.
    pub source_time: Option<Timestamp>,
    /// The twin's id.
    pub twin: String,
    /// Its state before; `None`: it was not there, or it was there when the engine started.
    pub was: Option<M>,
    /// Its state now; `None`: it is gone.
    pub is: Option<M>,
}

/// Changes between `process` and whoever asked for them, by epoch.
#[derive(Debug)]
pub(crate) struct ChangeBuffer<M>(RefCell<VecDeque<(u64, Vec<Change<M>>)>>);

impl<M> Default for ChangeBuffer<M> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

/// The epoch under which what was there at the start lies in the buffer.
pub(crate) const AT_START: u64 = 0;

impl<M> ChangeBuffer<M> {
    /// Puts a change where `epoch` finds it.
    pub(crate) fn put(&self, epoch: u64, change: Change<M>) {
        let mut epochs = self.0.borrow_mut();
        match epochs.back_mut().filter(|back| back.0 == epoch) {
            Some(back) => back.1.push(change),
            None => epochs.push_back((epoch, vec![change])),
        }
    }

    fn take(&self, epoch: u64) -> Vec<Change<M>> {
        let mut epochs = self.0.borrow_mut();
        match epochs.front() {
            Some(front) if front.0 == epoch => {
                epochs.pop_front().map(|it| it.1).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// Gives the changes of each epoch when `changed` says that it is over. What was there at the start
/// comes first, before every epoch.
pub(crate) fn changes<'scope, M: Clone + 'static>(
    changed: Stream<'scope, u64, Vec<u64>>,
    buffer: Rc<ChangeBuffer<M>>,
) -> Stream<'scope, u64, Vec<Change<M>>> {
    changed.unary::<CapacityContainerBuilder<Vec<Change<M>>>, _, _, _>(
        Pipeline,
        "changes",
        move |initial, _info| {
            // Given up as soon as the operator runs for the first time.
            let mut start = Some(initial);
            move |input, output| {
                if let Some(capability) = start.take() {
                    let all = buffer.take(AT_START);
                    output.session(&capability).give_iterator(all.into_iter());
                }
                input.for_each(|capability, epochs| {
                    let mut session = output.session(&capability);
                    for epoch in epochs.drain(..) {
                        session.give_iterator(buffer.take(epoch).into_iter());
                    }
                });
            }
        },
    )
}
