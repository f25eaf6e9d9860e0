//! Who wants to know what becomes of the twins of a model.

use std::{
    any::{Any, type_name},
    rc::Rc,
};

use twinflow_connectors::message::Timestamp;

use super::{guard::guarded, model_worker::TypedModel, scope::EpochScope};
use crate::{
    model::MessageProcessor,
    pipeline::{AT_START, Change, ChangeBuffer},
};

/// Where changes go, before it is known what the states are.
pub(crate) enum AnyWatcher {
    /// A [`ChangeBuffer`] of the model's own type.
    Typed(Rc<dyn Any>),
    /// States in their stored form, and nothing of what was before.
    Encoded(Rc<ChangeBuffer<Vec<u8>>>),
}

/// The same, once it is.
pub(super) enum Watcher<M> {
    Typed(Rc<ChangeBuffer<M>>),
    Encoded(Rc<ChangeBuffer<Vec<u8>>>),
}

/// When a change was made.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Where it is looked for.
    pub(crate) under: u64,
    pub(crate) epoch: u64,
    pub(crate) at: Timestamp,
    pub(crate) source_time: Option<Timestamp>,
}

impl Moment {
    pub(super) fn of(scope: &EpochScope<'_>, source_time: Option<Timestamp>) -> Self {
        Self { under: scope.epoch, epoch: scope.epoch, at: scope.now, source_time }
    }

    /// What was there when the engine started, after `epoch`.
    pub(crate) fn at_start(epoch: u64, at: Timestamp) -> Self {
        Self { under: AT_START, epoch, at, source_time: None }
    }
}

impl<P: MessageProcessor> TypedModel<P> {
    /// Adds a watcher, with all twins as they are.
    pub(super) fn add_watcher(
        &mut self,
        watcher: AnyWatcher,
        start: Option<Moment>,
    ) -> Result<(), String> {
        let watcher = match watcher {
            AnyWatcher::Encoded(buffer) => Watcher::Encoded(buffer),
            AnyWatcher::Typed(any) => Watcher::Typed(any.downcast().map_err(|_| {
                let (name, is) = (&self.name, type_name::<P::Model>());
                format!("the states of model \"{name}\" are {is}, and something else is asked for")
            })?),
        };
        if let Some(start) = start {
            for (_, slot) in self.table.walk(0, self.table.slots()) {
                if let Some(state) = &slot.state {
                    self.tell(&watcher, start, &slot.id, None, Some(state));
                }
            }
        }
        self.watchers.push(watcher);
        Ok(())
    }

    /// A copy of a state for watchers; the user's code, outside of any call.
    #[inline]
    pub(super) fn copy_for_watchers(&self, index: u32) -> Option<P::Model> {
        if self.watchers.is_empty() {
            return None;
        }
        self.table.slot(index).state.as_ref().and_then(|state| self.copied(state))
    }

    /// Tells all watchers of a change.
    pub(super) fn report(
        &self,
        moment: Moment,
        twin: &str,
        was: Option<P::Model>,
        is: Option<&P::Model>,
    ) {
        for watcher in &self.watchers {
            self.tell(watcher, moment, twin, was.as_ref(), is);
        }
    }

    fn tell(
        &self,
        watcher: &Watcher<P::Model>,
        moment: Moment,
        twin: &str,
        was: Option<&P::Model>,
        is: Option<&P::Model>,
    ) {
        match watcher {
            Watcher::Typed(buffer) => {
                let (was, is) = (was.and_then(|it| self.copied(it)), is.map(|it| self.copied(it)));
                match is {
                    Some(None) => {}
                    is => buffer.put(moment.under, change(moment, twin, was, is.flatten())),
                }
            }
            Watcher::Encoded(buffer) => {
                let encode = |state| guarded(|| rmp_serde::to_vec_named(state));
                let encoded = match is.map(encode) {
                    None => None,
                    Some(Ok(Ok(bytes))) => Some(bytes),
                    Some(Ok(Err(error))) => return self.complain(twin, &error.to_string()),
                    Some(Err(panic)) => return self.complain(twin, &panic),
                };
                buffer.put(moment.under, change(moment, twin, None, encoded));
            }
        }
    }

    fn copied(&self, state: &P::Model) -> Option<P::Model> {
        match guarded(|| state.clone()) {
            Ok(copy) => Some(copy),
            Err(panic) => {
                self.complain("", &panic);
                None
            }
        }
    }

    /// The twin's own code fails on a state that a call left behind; the twin lives on.
    fn complain(&self, twin: &str, why: &str) {
        tracing::error!(model = &*self.name, twin, why, "a change is not seen by its watchers");
    }
}

fn change<M>(moment: Moment, twin: &str, was: Option<M>, is: Option<M>) -> Change<M> {
    let Moment { epoch, at, source_time, .. } = moment;
    Change { epoch, at, source_time, twin: twin.to_owned(), was, is }
}
