//! From the links of a worker to frames in epochs (laws S1 to S5).
//!
//! The operator takes deliveries round robin, stamps them with the open epoch, writes receipts into
//! the ledger and positions into the epoch's part. Idle or without room it follows the clock, so
//! that a silent or blocked connection never holds an epoch open.
//!
//! Reading order: `source/intake.rs` decides what is taken, this file moves it.

mod intake;
mod sweep;
#[cfg(test)]
mod tests;

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use timely::{
    container::{CapacityContainerBuilder, NoopBuilder},
    dataflow::{
        Scope, Stream,
        channels::pact::Exchange,
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder, operator::Operator},
        },
    },
    scheduling::Activator,
};

use self::intake::{Intake, Marks};
use crate::{frame::Frame, store::EpochPart, worker::WorkerShared};

/// What the source gives to the rest of the graph.
pub(crate) struct Sourced<'scope> {
    pub(crate) rows: Stream<'scope, u64, Frame>,
    /// Positions and delivered marks, to `persist` on the same worker.
    pub(crate) parts: Stream<'scope, u64, Vec<EpochPart>>,
    /// Wakes the source; called whenever either frontier moves.
    pub(crate) activator: Activator,
}

/// The open epoch's capabilities, one per output.
struct Held {
    rows: Capability<u64>,
    parts: Capability<u64>,
    /// Only where there are other processes.
    news: Option<Capability<u64>>,
}

impl Held {
    fn epoch(&self) -> u64 {
        *self.rows.time()
    }

    fn move_to(&mut self, epoch: u64) {
        self.rows.downgrade(&epoch);
        self.parts.downgrade(&epoch);
        if let Some(news) = &mut self.news {
            news.downgrade(&epoch);
        }
    }
}

/// The first process's news go to the first worker of each other process.
fn other_processes(index: usize, peers: usize, threads: usize) -> impl Iterator<Item = u64> {
    let own = index / threads * threads;
    (0..peers).step_by(threads).filter(move |first| *first != own).map(|first| first as u64)
}

type Batches<C> = CapacityContainerBuilder<Vec<C>>;

/// The outputs of a source.
struct Ports {
    rows: OutputBuilder<u64, NoopBuilder<Frame>>,
    parts: OutputBuilder<u64, Batches<EpochPart>>,
    news: Option<OutputBuilder<u64, Batches<(u64, u64)>>>,
}

impl Ports {
    /// The open epoch is over: what it wrote beside its rows.
    fn finish(&mut self, open: &Held, intake: &mut Intake) {
        if let Some(mut frame) = intake.sweep_row() {
            let mut output = self.rows.activate();
            output.session_with_builder(&open.rows).give_container(&mut frame);
        }
        let part = intake.finish();
        if !part.is_empty() {
            self.parts.activate().session(&open.parts).give(part);
        }
    }

    /// Tells the other processes which epoch is open now.
    fn give_news(&mut self, open: &Held, others: impl Iterator<Item = u64>) {
        let Some((port, held)) = self.news.as_mut().zip(open.news.as_ref()) else { return };
        let epoch = open.epoch() + 1;
        let mut output = port.activate();
        let mut session = output.session(held);
        session.give_iterator(others.map(|other| (other, epoch)));
    }
}

/// Builds the source of one worker.
pub(crate) fn source<'scope>(
    scope: Scope<'scope, u64>,
    shared: &Rc<WorkerShared>,
) -> Sourced<'scope> {
    let mut builder = OperatorBuilder::new("source".to_owned(), scope);
    let (rows_port, rows) = builder.new_output::<Frame>();
    let (parts_port, parts) = builder.new_output::<Vec<EpochPart>>();
    // One process has nobody to tell: an output that is always empty would still cost its share of
    // every epoch's progress.
    let news =
        (scope.peers() > shared.setup.threads).then(|| builder.new_output::<Vec<(u64, u64)>>());
    let (news_port, news) = news.unzip();
    let mut ports = Ports {
        rows: OutputBuilder::from(rows_port),
        parts: OutputBuilder::from(parts_port),
        news: news_port.map(OutputBuilder::from),
    };
    let address = builder.operator_info().address;
    let activator = scope.activator_for(address.clone());
    let again = scope.activator_for(address.clone());
    attach(scope, &address, shared);

    let shared_here = Rc::clone(shared);
    builder.build(move |mut capabilities| {
        let mut next = || capabilities.pop().expect("one capability for each output");
        let news = ports.news.is_some().then(&mut next);
        let parts = next();
        let mut held = Some(Held { rows: next(), parts, news });
        let mut intake = Intake::new(&shared_here);
        move |_frontiers| {
            let Some(open) = held.as_mut() else { return };
            let setup = &shared_here.setup;
            setup.wake.heard();
            // Follow the clock first, whether or not there is data or room (law S5).
            let now = setup.clock.now();
            if now > open.epoch() {
                // Epoch 0 is timely's, not ours: a generation starts later, with an empty epoch.
                if open.epoch() > 0 {
                    ports.finish(open, &mut intake);
                }
                open.move_to(now);
            }
            if setup.control.ends() && !intake.has_data() {
                held = None;
                return;
            }
            while take_epoch(&mut ports, open, &mut intake, &shared_here, &again) {}
        }
    });
    if let Some(news) = news {
        hear_news(news, shared);
    }
    Sourced { rows, parts, activator }
}

/// Takes what waits into the open epoch, and closes it if that may be; says whether something waits
/// for the next one.
fn take_epoch(
    ports: &mut Ports,
    open: &mut Held,
    intake: &mut Intake,
    shared: &WorkerShared,
    again: &Activator,
) -> bool {
    let (setup, epoch) = (&shared.setup, open.epoch());
    let (uncommitted, bytes) = (shared.committed.behind(epoch), setup.store.shared_bytes());
    let may_wait = |full| setup.limits.may_wait(full, uncommitted, bytes);
    let mut output = ports.rows.activate();
    let mut rows = output.session_with_builder(&open.rows);
    let more = intake.fill(epoch, may_wait(true), |mut frame| rows.give_container(&mut frame));
    drop(rows);
    drop(output);
    if let Marks::Later(delay) = intake.marks() {
        again.activate_after(delay);
    }
    let closes = intake.has_data() || (!setup.control.ends() && intake.sweeps_alone());
    let full = intake.is_full();
    let unprocessed = shared.processed.behind(epoch);
    if !(closes && may_wait(full) && setup.limits.may_open(full, unprocessed)) {
        return false;
    }
    ports.finish(open, intake);
    let (index, peers) = (setup.index, setup.edge.workers);
    ports.give_news(open, other_processes(index, peers, setup.threads));
    open.move_to(epoch + 1);
    setup.progress.epochs.fetch_add(1, Ordering::Relaxed);
    setup.clock.advance(epoch + 1);
    more
}

/// The bells that wake this source; made on the worker's own thread, since an activator wakes the
/// thread that made it.
fn attach(scope: Scope<'_, u64>, address: &[usize], shared: &WorkerShared) {
    let setup = &shared.setup;
    let bell = scope.worker().sync_activator_for(address.to_vec());
    setup.clock.attach(scope.worker().sync_activator_for(address.to_vec()));
    setup.wake.attach(move || {
        // A worker that has ended needs no wake-up.
        let _gone = bell.activate().is_err();
    });
}

/// Raises the clock of this process to what other processes say.
fn hear_news(news: Stream<'_, u64, Vec<(u64, u64)>>, shared: &WorkerShared) {
    let clock = Arc::clone(&shared.setup.clock);
    let to_process = Exchange::new(|news: &(u64, u64)| news.0);
    news.sink(to_process, "epoch news", move |(input, _frontier)| {
        input.for_each(|_capability, news| {
            news.drain(..).for_each(|(_, epoch)| clock.advance(epoch));
        });
    });
}

/// Delay after which confirmations alone make an epoch (law D6).
pub(crate) const MARKS_EVERY: Duration = Duration::from_millis(100);
