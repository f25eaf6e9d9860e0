//! Streams behind the twins: changes and what is made of them.

use std::{cell::RefCell, fmt, rc::Rc};

use serde::Serialize;
use timely::dataflow::{Stream, channels::pact::Pipeline, operators::generic::operator::Operator};
use twinflow_connectors::message::Timestamp;

use super::{
    change::Change,
    side::{Side, side},
    window::{Over, Window, WindowResult, windows},
};
use crate::{model::TwinModel, worker::WorkerShared};

/// Something that happened in an epoch, to one twin or to all.
pub trait Happened: Clone + 'static {
    /// The epoch, and its time.
    fn when(&self) -> (u64, Timestamp);
    /// The twin; `all` where it is about all of them.
    fn twin(&self) -> &str;
}

impl<M: TwinModel> Happened for Change<M> {
    fn when(&self) -> (u64, Timestamp) {
        (self.epoch, self.at)
    }

    fn twin(&self) -> &str {
        &self.twin
    }
}

/// A stream behind the twins. It holds up no acknowledgement by itself, but runs on the worker's
/// thread: what its closures take, all wait for. It shows what is processed, committed or not;
/// [`Self::send_to`] leaves after the commit.
#[derive(Clone)]
pub struct Behind<'scope, T: Clone + 'static> {
    stream: Stream<'scope, u64, Vec<T>>,
    model: u16,
    shared: Rc<WorkerShared>,
    sides: Rc<RefCell<Vec<Side<'scope>>>>,
}

impl<'scope, T: Clone + 'static> Behind<'scope, T> {
    pub(crate) fn new(
        stream: Stream<'scope, u64, Vec<T>>,
        model: u16,
        shared: &Rc<WorkerShared>,
        sides: &Rc<RefCell<Vec<Side<'scope>>>>,
    ) -> Self {
        Self { stream, model, shared: Rc::clone(shared), sides: Rc::clone(sides) }
    }

    fn with<U: Clone + 'static>(&self, stream: Stream<'scope, u64, Vec<U>>) -> Behind<'scope, U> {
        Behind::new(stream, self.model, &self.shared, &self.sides)
    }

    /// The same as a timely stream, for operators of one's own.
    pub fn stream(&self) -> Stream<'scope, u64, Vec<T>> {
        self.stream.clone()
    }

    /// Calls `with` for each, on the worker that has it.
    pub fn for_each(self, mut with: impl FnMut(&T) + 'static) {
        self.stream.sink(Pipeline, "for each", move |(input, _frontier)| {
            input.for_each(|_capability, items| items.drain(..).for_each(|item| with(&item)));
        });
    }
}

impl<'scope, T: Happened> Behind<'scope, T> {
    /// Sends what `with` makes of each, as JSON, through the link of a connection, as feedback of
    /// the model and twin that it is about. It is durable with its epoch, leaves after the commit,
    /// at least once and with a stable id. What was there at the start is not sent again.
    ///
    /// When `with` panics, or what it gives does not serialise, that becomes a dead letter. The
    /// start fails when there is no such connection.
    pub fn send_to<U: Serialize>(self, connection: &str, with: impl Fn(&T) -> Option<U> + 'static) {
        let Self { stream, model, shared, sides } = self;
        if let Some(made) = side(stream, model, connection, &shared, with) {
            sides.borrow_mut().push(made);
        }
    }
}

impl<'scope, M: TwinModel> Behind<'scope, Change<M>> {
    /// Tumbling windows for each twin over what `value` says of its changes.
    pub fn window(
        &self,
        window: Window,
        value: impl Fn(&Change<M>) -> Option<f64> + 'static,
    ) -> Behind<'scope, WindowResult> {
        self.with(windows(self.stream(), window, Over::Twin, &self.shared, value))
    }

    /// Tumbling windows over all twins of the model together, on all workers; on the first worker.
    pub fn window_all(
        &self,
        window: Window,
        value: impl Fn(&Change<M>) -> Option<f64> + 'static,
    ) -> Behind<'scope, WindowResult> {
        self.with(windows(self.stream(), window, Over::All, &self.shared, value))
    }
}

impl<T: Clone + 'static> fmt::Debug for Behind<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("model", &self.model).finish_non_exhaustive()
    }
}
