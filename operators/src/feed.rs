//! A stream and how far it is, in its type: what does not settle does not compile.

use std::{fmt, marker::PhantomData, rc::Rc};

use timely::{
    container::NoopBuilder,
    dataflow::{Stream, channels::pact::Pipeline, operators::generic::operator::Operator},
};
use twinflow_connectors::row::RowKind;

use crate::{
    acknowledge::acknowledge,
    commit::commit,
    frame::Frame,
    message::{MessageInfo, RawMessage},
    models::Models,
    persist::persist,
    process::{
        Processed, process,
        twins::{Twins, TwinsSetup},
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
        };
        Self { inner, stage: PhantomData }
    }

    /// The models that the engine was built with.
    pub fn models(&self) -> Models {
        self.inner.shared.setup.models.clone()
    }

    /// Keeps only messages that `keep` likes; the others are acknowledged without effect.
    pub fn filter(self, keep: impl Fn(&RawMessage<'_>) -> bool + 'static) -> Self {
        let slots = self.inner.shared.setup.slots.clone();
        self.through_timely(move |rows| {
            rows.unary::<NoopBuilder<Frame>, _, _, _>(Pipeline, "filter", move |initial, _info| {
                drop(initial);
                move |input, output| {
                    input.for_each(|capability, frame| {
                        let mut kept = std::mem::take(frame).filtered(|row| {
                            let slot = &slots[usize::from(row.origin())].place;
                            let info = MessageInfo::new(
                                &slot.connection,
                                row.received_at(),
                                row.format(),
                                row.attributes(),
                            );
                            row.kind() != RowKind::Message
                                || keep(&RawMessage { payload: row.payload(), info })
                        });
                        if kept.rows() > 0 {
                            output.session_with_builder(&capability).give_container(&mut kept);
                        }
                    });
                }
            })
        })
    }

    /// Lets any timely operator over frames of rows in.
    ///
    /// Its contract (law S8): it never emits at a later epoch than it received, and one that
    /// changes twin ids gathers the rows anew by owner.
    pub fn through_timely(
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
        self.inner.processed = Some(process(rows, &self.inner.shared, twins));
        Feed { inner: self.inner, stage: PhantomData }
    }
}

impl<'scope> Feed<'scope, Changes> {
    /// Persist, commit, send, acknowledge: never apart.
    pub fn settle(self) -> Settled<'scope> {
        let Inner { processed, source_parts, shared, .. } = self.inner;
        let Processed { changed, link_rows } = processed.expect("a feed of changes was processed");
        let names = shared.setup.first_part.clone().filter(|_| shared.setup.index == 0);
        let durable = persist(changed, source_parts, &shared, names);
        let committed = commit(durable, std::sync::Arc::clone(&shared.setup.store));
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
