//! Live views: counts, sums and averages over all twins of a model, kept up to date (feature
//! `live-views`).
//!
//! A view is behind the commit and on a thread of its own. The workers leave states in its mailbox
//! and go on; a slow view finds the newest state of each twin there, and is late, never in the way.
//! What it keeps is a collection of differential dataflow: each change takes the old contribution
//! of its twin out and puts the new one in.
//!
//! Reading order: `mailbox.rs` is what workers touch, `run.rs` the thread.

mod contributions;
mod mailbox;
mod run;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use self::{contributions::Contributions, mailbox::Mailbox};
use crate::{feed::Attach, model::TwinModel, progress::Progress};

pub use self::run::{ViewRun, ViewUpdate};

/// What is kept for each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// How many twins there are.
    Count,
    /// The sum of their values.
    Sum,
    /// The mean of their values.
    Average,
}

impl ViewKind {
    /// The word used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "average",
        }
    }
}

/// Count and sum of one group; the sum in millionths.
pub type Sums = (i64, i128);

/// Millionths of a sum as a number.
pub fn from_millionths(sum: i128) -> f64 {
    sum as f64 / 1e6
}

/// A query over all twins of a model.
#[derive(Clone)]
pub struct View {
    name: Arc<str>,
    model: Arc<str>,
    kind: ViewKind,
    make: Arc<dyn Make>,
}

trait Make: Send + Sync {
    fn make(&self, model: &Arc<str>, workers: usize, progress: Arc<Progress>) -> Running;
}

/// A view of an engine that starts: what its workers are given, and what its thread runs.
pub struct Running {
    /// Attached to the graph of every worker.
    pub watch: Arc<dyn Attach>,
    /// What wakes the thread and says how far it is.
    pub bell: Arc<dyn Bell>,
    /// The thread's work.
    pub run: ViewRun,
}

/// The outside of a mailbox.
pub trait Bell: Send + Sync {
    /// An epoch may have been committed.
    fn committed(&self);
    /// The thread ends as soon as it can.
    fn stop(&self);
    /// The last epoch of which everything is in the view; `None`: what is published is older than
    /// what is committed.
    fn settled(&self) -> Option<u64>;
}

type Group<M> = Arc<dyn Fn(&str, &M) -> Option<String> + Send + Sync>;
type Value<M> = Arc<dyn Fn(&str, &M) -> f64 + Send + Sync>;

struct Typed<M> {
    group: Group<M>,
    value: Value<M>,
}

impl<M: TwinModel> Make for Typed<M> {
    fn make(&self, model: &Arc<str>, workers: usize, progress: Arc<Progress>) -> Running {
        let mailbox = Mailbox::<M>::new(Arc::clone(model), workers, progress);
        let (group, value) = (Arc::clone(&self.group), Arc::clone(&self.value));
        let contributions = Contributions::new(Arc::clone(&mailbox), group, value);
        let bell = Arc::clone(&mailbox);
        Running { watch: mailbox, bell, run: ViewRun::new(contributions) }
    }
}

impl View {
    fn new<M: TwinModel>(
        name: &str,
        model: &str,
        kind: ViewKind,
        group: impl Fn(&str, &M) -> Option<String> + Send + Sync + 'static,
        value: impl Fn(&str, &M) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(Typed { group: Arc::new(group), value: Arc::new(value) });
        Self { name: name.into(), model: model.into(), kind, make }
    }

    /// How many twins there are in each group; `None` leaves a twin out. The closure gets id and
    /// state. It runs on the view's own thread and may take its time.
    pub fn count<M: TwinModel>(
        name: &str,
        model: &str,
        group: impl Fn(&str, &M) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, model, ViewKind::Count, group, |_, _: &M| 0.0)
    }

    /// The sum of a value over the twins of each group, exact to a millionth of each value.
    pub fn sum<M: TwinModel>(
        name: &str,
        model: &str,
        group: impl Fn(&str, &M) -> Option<String> + Send + Sync + 'static,
        value: impl Fn(&str, &M) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, model, ViewKind::Sum, group, value)
    }

    /// The mean of a value over the twins of each group.
    pub fn average<M: TwinModel>(
        name: &str,
        model: &str,
        group: impl Fn(&str, &M) -> Option<String> + Send + Sync + 'static,
        value: impl Fn(&str, &M) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, model, ViewKind::Average, group, value)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model whose twins it is over.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What it keeps.
    pub fn kind(&self) -> ViewKind {
        self.kind
    }

    /// The parts of the view in an engine that starts.
    pub fn start(&self, workers: usize, progress: Arc<Progress>) -> Running {
        self.make.make(&self.model, workers, progress)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, model, kind, .. } = self;
        f.debug_struct("View")
            .field("name", name)
            .field("model", model)
            .field("kind", kind)
            .finish()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
