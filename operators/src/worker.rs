//! One worker: what it is made of, the graph it builds, the loop it runs.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use timely::worker::Worker;
use twinflow_connectors::{
    link::{Edge, Slot, Wake},
    message::Clock,
};

use crate::{
    clock::EpochClock,
    dead_letter::DeadLetters,
    feed::{Attach, Feed, Rows, Settled},
    gathered::Gathered,
    ledger::Ledger,
    models::Models,
    progress::{Control, Progress},
    quarantine::Quarantine,
    recover::Recovered,
    source::source,
    store::{EpochPart, EpochStore},
    tap::Taps,
};

/// Bounds of law S4, for one worker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Epochs closed and not processed, at which only a full epoch is closed.
    pub open_epochs_max: u64,
    /// The same, at which no epoch is closed. An epoch is worked off when every worker has closed
    /// it: with some full ones ahead nobody stands still while another worker has no core.
    pub open_full_epochs_max: u64,
    /// Epochs closed and not committed, at which only a full epoch is closed: what a sync is waited
    /// for with should not be many small ones.
    pub uncommitted_epochs_max: u64,
    /// The same, at which no epoch is closed: full ones stay small enough for the near caches.
    pub uncommitted_full_epochs_max: u64,
    /// The same in bytes of the log, where many epochs share one commit.
    pub uncommitted_bytes_max: u64,
    /// Bytes of rows that were not processed.
    pub in_flight_bytes_max: u64,
    /// Bytes to which an epoch grows that may not be closed.
    pub epoch_bytes_max: u64,
}

impl Limits {
    /// The limits of one of `workers` workers of a generation.
    pub fn of_worker(workers: usize) -> Self {
        Self {
            open_epochs_max: 2,
            open_full_epochs_max: 8,
            uncommitted_epochs_max: 8,
            uncommitted_full_epochs_max: 32,
            uncommitted_bytes_max: 256 << 20,
            in_flight_bytes_max: (256 << 20) / workers as u64,
            epoch_bytes_max: 8 << 20,
        }
    }

    /// Whether one more epoch, full or not, may be closed behind so many that are not processed.
    pub(crate) fn may_open(&self, full: bool, unprocessed: u64) -> bool {
        unprocessed < if full { self.open_full_epochs_max } else { self.open_epochs_max }
    }

    /// The same behind so many that are not committed, or, where many epochs share one commit, so
    /// many bytes of them.
    pub(crate) fn may_wait(&self, full: bool, uncommitted: u64, bytes: Option<u64>) -> bool {
        match bytes {
            Some(bytes) => bytes < self.uncommitted_bytes_max,
            None if full => uncommitted < self.uncommitted_full_epochs_max,
            None => uncommitted < self.uncommitted_epochs_max,
        }
    }
}

/// A graph over a feed, the same on every worker.
pub type BuildGraph = dyn for<'s> Fn(Feed<'s, Rows>) -> Settled<'s> + Send + Sync;

/// What a worker is made of.
#[derive(Clone)]
pub struct WorkerSetup {
    /// Its number among all workers of the generation.
    pub index: usize,
    /// Workers of this process.
    pub threads: usize,
    /// The generation's number (law D6).
    pub generation: u64,
    /// The first epoch of the generation; it is closed empty (law S3).
    pub first_epoch: u64,
    /// The edge of this process.
    pub edge: Arc<Edge>,
    /// All slots of the generation, by number.
    pub slots: Vec<Arc<Slot>>,
    /// The bell of this worker.
    pub wake: Arc<Wake>,
    /// The epoch clock of this process.
    pub clock: Arc<EpochClock>,
    /// Time, passed in.
    pub time: Clock,
    /// Where epochs become durable.
    pub store: Arc<dyn EpochStore>,
    /// The models.
    pub models: Models,
    /// What the generation starts from.
    pub recovered: Arc<Recovered>,
    /// Written in the first epoch by worker 0: new names.
    pub first_part: Option<EpochPart>,
    /// All dead letters of this process.
    pub dead_letters: Arc<DeadLetters>,
    /// The twins of this process that are set aside.
    pub quarantine: Arc<Quarantine>,
    /// How far everything is.
    pub progress: Arc<Progress>,
    /// Who looks on while twins are called.
    pub taps: Arc<Taps>,
    /// Attached behind the twins of every graph.
    pub watchers: Vec<Arc<dyn Attach>>,
    /// What this worker is told from outside.
    pub control: Arc<Control>,
    /// Bounds.
    pub limits: Limits,
    /// Called when a model's policy is `halt` and it failed (law P5); it need not return.
    pub on_halt: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for WorkerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSetup").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A frontier that an operator saw and others ask for; a probe would be one more operator that
/// every epoch passes.
#[derive(Debug)]
pub(crate) struct Reached(Cell<Option<u64>>);

impl Default for Reached {
    fn default() -> Self {
        Self(Cell::new(Some(0)))
    }
}

impl Reached {
    pub(crate) fn note(&self, frontier: Option<u64>) {
        self.0.set(frontier);
    }

    /// The first epoch that is not over, `None` at the end.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.get()
    }

    /// Epochs between the frontier and the open epoch.
    pub(crate) fn behind(&self, epoch: u64) -> u64 {
        self.first().map_or(0, |first| epoch.saturating_sub(first))
    }
}

/// What the operators of one worker share.
pub(crate) struct WorkerShared {
    pub(crate) setup: WorkerSetup,
    pub(crate) ledger: RefCell<Ledger>,
    /// What `process` wrote and `persist` has not handed over.
    pub(crate) gathered: RefCell<Gathered>,
    /// The frontier behind `process`, as `persist` last saw it.
    pub(crate) processed: Reached,
    /// The frontier behind `send`, as `acknowledge` last saw it.
    pub(crate) committed: Reached,
    /// The last sweep of which the twins of this worker have done their part.
    pub(crate) twins_swept: Cell<u64>,
    next_dead_letter: Cell<u64>,
    /// An epoch, and how much left by the side in it.
    side_index: Cell<(u64, u32)>,
}

impl WorkerShared {
    pub(crate) fn new(setup: WorkerSetup) -> Self {
        let next_dead_letter = Cell::new(setup.dead_letters.newest() + 1 + setup.index as u64);
        Self {
            setup,
            ledger: RefCell::default(),
            gathered: RefCell::default(),
            processed: Reached::default(),
            committed: Reached::default(),
            twins_swept: Cell::default(),
            next_dead_letter,
            side_index: Cell::default(),
        }
    }

    /// The index in the id of what leaves by the side in an epoch, apart from those of feedback.
    pub(crate) fn take_side_index(&self, epoch: u64) -> u32 {
        let (of, count) = self.side_index.get();
        let count = if of == epoch { count } else { 0 };
        self.side_index.set((epoch, count + 1));
        SIDE_INDEX + count
    }

    /// The graph that was asked for cannot be built; the start fails with the first reason.
    pub(crate) fn misbuilt(&self, why: String) {
        let _told_before = self.setup.progress.misbuilt.set(why).is_err();
    }

    /// Numbers of dead letters: every worker has its own residue, so none is given twice.
    pub(crate) fn take_dead_letter(&self) -> u64 {
        let number = self.next_dead_letter.get();
        self.next_dead_letter.set(number + self.setup.edge.workers as u64);
        number
    }
}

/// Indices of feedback in its id are below it: a call sends no more than 100.
const SIDE_INDEX: u32 = 1 << 31;

/// A parked worker looks around after this time even if nobody wakes it.
const PARKED_MOST: Duration = Duration::from_millis(500);

/// Builds the graph on a worker and runs it until [`Control::end`] and everything is committed, or
/// until [`Control::quit`].
///
/// # Panics
///
/// A broken invariant; the process's panic hook ends the process (law F1).
pub fn run_worker(worker: &mut Worker, setup: WorkerSetup, build: &BuildGraph) {
    let shared = Rc::new(WorkerShared::new(setup));
    let activator = worker.dataflow::<u64, _, _>(|scope| {
        let sourced = source(scope, &shared);
        let activator = sourced.activator.clone();
        build(Feed::new(sourced, &shared));
        activator
    });
    debug_assert!(shared.setup.first_epoch > 0, "epochs are counted from 1");
    let mut last = [Some(0); 2];
    let mut yielded = false;
    while shared.committed.first().is_some() {
        if shared.setup.control.quits() {
            // What is not committed never was, as after a crash.
            worker.installed_dataflows().into_iter().for_each(|it| worker.drop_dataflow(it));
            return;
        }
        // With something under way others may wait for this core: what they bring comes into the
        // next epoch, and nobody has to wake us. Alone on the core it costs a system call.
        let under_way = shared.ledger.borrow().bytes() > 0;
        if under_way && !yielded {
            std::thread::yield_now();
        }
        yielded = !yielded && under_way;
        let most = if yielded { Duration::ZERO } else { PARKED_MOST };
        worker.step_or_park(Some(most));
        shared.setup.control.activity.beat();
        let now = [shared.processed.first(), shared.committed.first()];
        if now != last {
            // Either frontier moved: the next epoch may close, or there is room again.
            last = now;
            yielded = false;
            shared.ledger.borrow_mut().processed(now[0]);
            let processed = now[0].unwrap_or(u64::MAX);
            shared.setup.progress.processed.fetch_max(processed, Ordering::AcqRel);
            activator.activate();
        }
    }
}
