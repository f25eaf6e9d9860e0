//! A stream and how far it is, in its type: what does not settle does not compile.

use std::{cell::RefCell, fmt, marker::PhantomData, rc::Rc, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use timely::dataflow::{
    Stream,
    operators::{Concat, ConnectLoop, Feedback, feedback::Handle},
};

use crate::{
    acknowledge::acknowledge,
    commit::commit,
    frame::Frame,
    model::{ProcessingError, TwinModel},
    models::Models,
    persist::persist,
    pipeline::{
        Behind, Change, ChangeBuffer, Inbound, Out, Route, Side, Stage, Table, TableRow, changes,
        checked, enrich, rows_through, to_all,
    },
    process::{
        Processed, process,
        twins::{Twins, TwinsSetup},
        watch::AnyWatcher,
    },
    send::send,
    source::Sourced,
    store::EpochPart,
    worker::WorkerShared,
};

/// Stage of a feed: rows as they came from the links.
#[derive(Debug)]
pub struct Rows(());

/// Stage of a feed: changes of twins, not durable yet.
#[derive(Debug)]
pub struct Changes(());

/// A stream together with what can acknowledge it; `Stage` is how far it is.
#[must_use = "what is not settled is never acknowledged"]
pub struct Feed<'scope, Stage> {
    inner: Inner<'scope>,
    stage: PhantomData<Stage>,
}

struct Inner<'scope> {
    rows: Option<Stream<'scope, u64, Frame>>,
    processed: Option<Processed<'scope>>,
    /// Positions and marks of the source.
    source_parts: Stream<'scope, u64, Vec<EpochPart>>,
    shared: Rc<WorkerShared>,
    /// Tables that are read before the twins, each with the end of its loop.
    tables: Vec<(String, Handle<'scope, u64, Vec<TableRow>>)>,
    /// What leaves beside the feedback of twins.
    sides: Rc<RefCell<Vec<Side<'scope>>>>,
}

/// Something that is attached behind the twins of every graph, whatever its builder says.
pub trait Attach: Send + Sync {
    /// Attaches it to the graph of one worker.
    fn attach<'s>(self: Arc<Self>, feed: Feed<'s, Changes>) -> Feed<'s, Changes>;
}

/// The proof that a feed will be acknowledged; only [`Feed::settle`] makes one.
#[derive(Debug)]
pub struct Settled<'scope>(PhantomData<&'scope ()>);

impl<'scope> Feed<'scope, Rows> {
    pub(crate) fn new(sourced: Sourced<'scope>, shared: &Rc<WorkerShared>) -> Self {
        let inner = Inner {
            rows: Some(sourced.rows),
            processed: None,
            source_parts: sourced.parts,
            shared: Rc::clone(shared),
            tables: Vec::new(),
            sides: Rc::default(),
        };
        Self { inner, stage: PhantomData }
    }

    /// The models that the engine was built with.
    pub fn models(&self) -> Models {
        self.inner.shared.setup.models.clone()
    }

    /// Keeps only messages that `keep` likes. The others are acknowledged without effect once their
    /// epoch is durable, and counted. One on which `keep` panics becomes a dead letter.
    pub fn filter(self, keep: impl Fn(&Inbound<'_>) -> bool + 'static) -> Self {
        let mut stage = Stage::new(&self.inner.shared, false);
        self.through(|rows| rows_through(rows, "filter", move |frames| stage.filter(frames, &keep)))
    }

    /// Makes another payload of each message, for the same twin: from a `T` in the format that the
    /// connection declares to a `U` as JSON.
    ///
    /// A message that is no `T`, and one on which `with` returns an error or panics, becomes a dead
    /// letter; the epoch goes on.
    pub fn map<T, U>(
        self,
        with: impl Fn(&Inbound<'_>, T) -> Result<U, ProcessingError> + 'static,
    ) -> Self
    where
        T: DeserializeOwned,
        U: Serialize,
    {
        self.each("map", false, move |message, out| {
            let value = message.deserialize()?;
            out.emit(&with(message, value)?)
        })
    }

    /// Makes no, one or several messages of each, for any twins: whatever `with` gives to its
    /// [`Out`]. What it makes stays in the message's epoch and is acknowledged with it; one that
    /// gives nothing is dropped, as by [`Self::filter`].
    ///
    /// A message on which `with` returns an error or panics becomes a dead letter, and nothing that
    /// it gave before counts.
    pub fn flat_map(
        self,
        with: impl Fn(&Inbound<'_>, &mut Out<'_>) -> Result<(), ProcessingError> + 'static,
    ) -> Self {
        self.each("flat map", true, with)
    }

    /// Sends each message to the twin that `to` says, of the same model or of another one. Messages
    /// of one partition keep their order at their new twin.
    ///
    /// A message on which `to` returns an error or panics, or whose new twin cannot be, becomes a
    /// dead letter.
    pub fn route(
        self,
        to: impl Fn(&Inbound<'_>) -> Result<Route, ProcessingError> + 'static,
    ) -> Self {
        self.each("route", true, move |message, out| out.pass_to(&to(message)?))
    }

    /// As [`Self::flat_map`], with a table at hand: the states of the twins of the model `table`,
    /// by id, as any `V` that they can be read as.
    ///
    /// Every worker has the whole table. It is filled like any model: by the messages that some
    /// connection brings for it, durable with their epoch, and complete again before the first
    /// message after a restart. A message of epoch *e* sees exactly what the epochs before *e* made
    /// of it. Messages for the table's own model go on as they are.
    pub fn enrich<V, F>(mut self, table: &str, with: F) -> Self
    where
        V: DeserializeOwned + 'static,
        F: Fn(&Inbound<'_>, &Table<V>, &mut Out<'_>) -> Result<(), ProcessingError> + 'static,
    {
        let shared = Rc::clone(&self.inner.shared);
        let rows = self.inner.rows.take().expect("a feed of rows has its rows");
        let (end, updates) = rows.scope().feedback(1);
        self.inner.tables.push((table.to_owned(), end));
        self.inner.rows = Some(enrich(rows, updates, &shared, table, with));
        self
    }

    fn each(
        self,
        name: &str,
        readdresses: bool,
        with: impl Fn(&Inbound<'_>, &mut Out<'_>) -> Result<(), ProcessingError> + 'static,
    ) -> Self {
        let mut stage = Stage::new(&self.inner.shared, readdresses);
        self.through(|rows| rows_through(rows, name, move |frames| stage.run(&frames, &with)))
    }

    /// Lets any timely operator over frames of rows in.
    ///
    /// Its contract (law S8): every row leaves on the worker and in the epoch in which it came,
    /// none is made or lost ([`Self::filter`] and [`Self::flat_map`] do that and count it), an
    /// operator that changes twin ids gathers the rows anew by owner, and no capability is held
    /// longer than its rows. With the feature `testing` a breach ends the process and names the
    /// operator.
    pub fn through_timely(
        self,
        name: &str,
        with: impl FnOnce(Stream<'scope, u64, Frame>) -> Stream<'scope, u64, Frame>,
    ) -> Self {
        if cfg!(feature = "testing") {
            let time = self.inner.shared.setup.time.clone();
            let breach = |why| panic!("{why}");
            self.through(|rows| checked(rows, name, time, with, breach))
        } else {
            self.through(with)
        }
    }

    fn through(
        mut self,
        with: impl FnOnce(Stream<'scope, u64, Frame>) -> Stream<'scope, u64, Frame>,
    ) -> Self {
        self.inner.rows = self.inner.rows.map(with);
        self
    }

    /// Exchanges the rows by owner, groups them per twin and epoch, and calls the processors.
    pub fn process(mut self, models: Models) -> Feed<'scope, Changes> {
        let setup = &self.inner.shared.setup;
        let encode = setup.store.wants_states();
        let twins = TwinsSetup {
            models: models.workers(|name| setup.edge.models.number(name), encode),
            slots: setup.slots.clone(),
            shared: Rc::clone(&self.inner.shared),
            encode,
        };
        let twins = Twins::new(twins, &setup.recovered);
        let rows = self.inner.rows.take().expect("a feed of rows has its rows");
        let processed = process(rows, &self.inner.shared, twins);
        for (table, end) in std::mem::take(&mut self.inner.tables) {
            let buffer = Rc::new(ChangeBuffer::default());
            processed.watch(&self.inner.shared, &table, AnyWatcher::Encoded(buffer.clone()));
            to_all(changes(processed.changed.clone(), buffer)).connect_loop(end);
        }
        self.inner.processed = Some(processed);
        Feed { inner: self.inner, stage: PhantomData }
    }
}

impl<'scope> Feed<'scope, Changes> {
    /// Number of this worker among all of the generation.
    #[cfg(feature = "live-views")]
    pub(crate) fn worker(&self) -> usize {
        self.inner.shared.setup.index
    }

    /// Gives the changes of a model's twins to `with`, as a stream: first all twins that are there,
    /// then what each epoch makes of them, whether that is committed yet or not. What is built on
    /// it holds up no acknowledgement, as long as it gives its thread back.
    ///
    /// A twin that changed has one change an epoch. The start fails when the model's states are no
    /// `M`, or when there is no such model.
    pub fn changes<M: TwinModel>(
        self,
        model: &str,
        with: impl FnOnce(Behind<'scope, Change<M>>),
    ) -> Self {
        let buffer = Rc::new(ChangeBuffer::<M>::default());
        let processed = self.inner.processed.as_ref().expect("a feed of changes was processed");
        processed.watch(&self.inner.shared, model, AnyWatcher::Typed(buffer.clone()));
        let number = self.inner.shared.setup.edge.models.number(model).unwrap_or(u16::MAX);
        let stream = changes(processed.changed.clone(), buffer);
        with(Behind::new(stream, number, &self.inner.shared, &self.inner.sides));
        self
    }

    /// Persist, commit, send, acknowledge: never apart.
    pub fn settle(mut self) -> Settled<'scope> {
        for watch in self.inner.shared.setup.watchers.clone() {
            self = watch.attach(self);
        }
        let Inner { processed, mut source_parts, shared, sides, .. } = self.inner;
        let processed = processed.expect("a feed of changes was processed");
        let Processed { changed, mut link_rows, twins } = processed;
        for side in sides.take() {
            source_parts = source_parts.concat(side.parts);
            link_rows = link_rows.concat(side.link_rows);
        }
        let names = shared.setup.first_part.clone().filter(|_| shared.setup.index == 0);
        let durable = persist(changed, source_parts, twins, &shared, names);
        let committed = commit(durable, Arc::clone(&shared.setup.store));
        let sent = send(link_rows, committed, &shared);
        acknowledge(sent, &shared);
        Settled(PhantomData)
    }
}

impl<Stage> fmt::Debug for Feed<'_, Stage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("worker", &self.inner.shared.setup.index).finish()
    }
}
