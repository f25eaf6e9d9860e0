//! From a builder to a running engine, in order: names, store, recovery, slots, workers, links.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use twinflow_connectors::{
    ConnectorInfo,
    link::{Edge, OUTBOX_LIMITS, OutboxLimits, Slot, SlotPlace, Wake},
    message::{Clock, Format, model_name_error},
    route::slot_worker,
};
use twinflow_operators::{
    clock::EpochClock,
    dead_letter::DeadLetters,
    feed::Attach,
    models::Models,
    progress::{Control, Progress},
    quarantine::Quarantine,
    recover::Recovered,
    store::{EpochPart, EpochStore},
    tap::Taps,
    worker::{BuildGraph, Limits, WorkerSetup},
};

use super::{
    Commit, Engine, EngineBuilder, EngineHandle, StoreChoice, failure, housekeeping::keep_house,
    recovering::Teller, requests::EngineLinks, supervision::Supervision, suspect::Suspected,
    watch::Watch,
};
use crate::{
    clock::random,
    connections::{Connection, Connections, Prepared},
    error::{Error, ErrorKind, Result},
    recovery::{Recovery, recover, restore_slots},
    store::MemoryStore,
};

/// The name of the engine's own links.
pub(super) const ENGINE: &str = "(engine)";

/// What all threads of a running engine share.
pub(crate) struct Parts {
    pub(super) generation: u64,
    pub(super) first_epoch: u64,
    pub(super) edge: Arc<Edge>,
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) wakes: Vec<Arc<Wake>>,
    pub(super) clock: Arc<EpochClock>,
    pub(super) time: Clock,
    pub(super) store: Arc<dyn EpochStore>,
    pub(super) models: Models,
    pub(super) recovered: Arc<Recovered>,
    pub(super) first_part: Option<EpochPart>,
    pub(super) dead_letters: Arc<DeadLetters>,
    /// Dead letters that were dropped because of their age.
    pub(super) letters_expired: AtomicU64,
    pub(super) progress: Arc<Progress>,
    pub(super) controls: Vec<Arc<Control>>,
    pub(super) graph: Arc<BuildGraph>,
    pub(super) wait_ms: u64,
    /// Where twins are kept, in words.
    pub(super) store_about: String,
    /// The twins that are set aside.
    pub(super) quarantine: Arc<Quarantine>,
    /// Who looks on while twins are called.
    pub(super) taps: Arc<Taps>,
    pub(super) stall_secs: u64,
    /// Calls that took longer than a second.
    pub(super) slow_calls: AtomicU64,
    pub(super) supervision: Supervision,
    #[cfg(feature = "live-views")]
    pub(super) views: crate::views::Views,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Parts {
    /// What one worker is made of.
    pub(super) fn setup_of(&self, index: usize) -> WorkerSetup {
        WorkerSetup {
            index,
            threads: self.controls.len(),
            generation: self.generation,
            first_epoch: self.first_epoch,
            edge: Arc::clone(&self.edge),
            slots: self.slots.clone(),
            wake: Arc::clone(&self.wakes[index]),
            clock: Arc::clone(&self.clock),
            time: self.time.clone(),
            store: Arc::clone(&self.store),
            models: self.models.clone(),
            recovered: Arc::clone(&self.recovered),
            first_part: self.first_part.clone(),
            dead_letters: Arc::clone(&self.dead_letters),
            quarantine: Arc::clone(&self.quarantine),
            taps: Arc::clone(&self.taps),
            progress: Arc::clone(&self.progress),
            watchers: self.watchers(),
            control: Arc::clone(&self.controls[index]),
            limits: Limits::of_worker(self.controls.len()),
            on_halt: Arc::new(failure::halted),
        }
    }

    /// What is attached behind the twins of every graph.
    #[cfg(feature = "live-views")]
    fn watchers(&self) -> Vec<Arc<dyn Attach>> {
        self.views.watchers()
    }

    #[cfg(not(feature = "live-views"))]
    fn watchers(&self) -> Vec<Arc<dyn Attach>> {
        Vec::new()
    }

    /// Lets the dataflow end: sources give up their capabilities.
    pub(super) fn end(&self) {
        for (control, wake) in self.controls.iter().zip(&self.wakes) {
            control.end.store(true, Ordering::Release);
            wake.ring();
        }
    }

    /// Ends the dataflow where it is, however long the store would take.
    pub(super) fn quit(&self) {
        for control in &self.controls {
            control.quit.store(true, Ordering::Release);
        }
        self.end();
    }
}

/// Starts the engine.
pub(super) fn start(mut builder: EngineBuilder) -> Result<Engine> {
    failure::install_panic_hook();
    check_names(&builder)?;
    prepare_all(&mut builder.connections)?;
    let workers = worker_count(builder.workers);
    let recovering = Arc::clone(&builder.recovering);
    let _told = Teller::start(&recovering)?;
    let store = open_store(&builder)?;
    let names: Vec<_> = builder.connections.iter().map(|known| known.name.clone()).collect();
    let mut recovery = recover(
        &*store,
        workers,
        &recovering.progress,
        &builder.models,
        &names,
        builder.keep_unknown,
    )?;
    let suspected = Suspected::find(&builder, &mut recovery)?;
    let Recovery { recovered, connections, models, first_part } = recovery;
    let claimed = store.claim(workers)?;

    let edge = Edge::new(workers, models, builder.clock.clone());
    edge.set_careful(builder.supervision.careful);
    let wakes: Vec<Arc<Wake>> = (0..workers).map(|_| Arc::default()).collect();
    let mut slots = Vec::new();
    let mut prepared = Vec::new();
    for (connection, number) in builder.connections.into_iter().zip(connections) {
        let (connection, info) = prepare(connection, workers);
        let own = make_slots(&connection.name, number, &info, workers, &edge, &wakes, &mut slots)?;
        restore_slots(&recovered, number, &own);
        prepared.push(Prepared { connection, info: info.0, slots: own });
    }
    let engine_slots = engine_slots(&edge, &wakes, &mut slots)?;
    let dead_letters = DeadLetters::default();
    recovered.dead_letters().cloned().for_each(|letter| dead_letters.add(letter));
    dead_letters.given(recovered.dead_letters_newest());
    dead_letters.commit(claimed.base);

    let quarantine = Arc::new(suspected.quarantine(&recovered));
    let progress = Arc::<Progress>::default();
    #[cfg(feature = "live-views")]
    let views = crate::views::Views::start(builder.views, workers, &progress)?;

    let parts = Arc::new(Parts {
        generation: claimed.generation,
        first_epoch: claimed.base + 1,
        edge,
        slots,
        wakes,
        clock: Arc::new(EpochClock::new(claimed.base + 1)),
        time: builder.clock.clone(),
        store,
        models: builder.models,
        recovered: Arc::new(recovered),
        first_part,
        dead_letters: Arc::new(dead_letters),
        letters_expired: AtomicU64::new(0),
        progress,
        controls: (0..workers).map(|_| Arc::default()).collect(),
        graph: builder.graph,
        wait_ms: builder.wait_ms,
        store_about: builder.store.to_string(),
        quarantine,
        taps: Arc::default(),
        stall_secs: builder.stall_secs,
        slow_calls: AtomicU64::new(0),
        supervision: builder.supervision,
        #[cfg(feature = "live-views")]
        views,
    });
    run(parts, prepared, &engine_slots, &builder.clock, suspected)
}

/// Starts threads, waits until the first epoch is complete, opens the links (law S3).
fn run(
    parts: Arc<Parts>,
    prepared: Vec<Prepared>,
    engine_slots: &[Arc<Slot>],
    clock: &Clock,
    suspected: Suspected,
) -> Result<Engine> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("twinflow:edge")
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Unavailable, "could not start the edge's threads").because(error)
        })?;
    let links = Arc::new(EngineLinks::open(engine_slots, runtime.handle()));
    let workers = start_workers(&parts, &links)?;
    let first = parts.first_epoch;
    while parts.progress.processed.load(Ordering::Acquire) <= first {
        if parts.recovered.failure().is_some() || parts.progress.misbuilt.get().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    if let Some(why) = parts.progress.misbuilt.get() {
        parts.quit();
        drop(workers);
        return Err(Error::misconfigured(format!("the pipeline cannot be built: {why}")));
    }
    if let Some(why) = parts.recovered.failure() {
        parts.end();
        drop(workers);
        let next = "start the program that wrote it, or give the model a migration; \
                    twinflow state check makes the same look without a start";
        return Err(Error::new(ErrorKind::StateRefused, format!("{why}; {next}")));
    }
    let watch = Watch::start(&parts)?;
    suspected.settle(&parts);
    crate::fail_points::pass("links-open");
    let connections = Arc::new(Connections::start(prepared, runtime.handle(), clock));
    let handle = EngineHandle {
        parts: Arc::clone(&parts),
        links,
        connections: Arc::clone(&connections),
        stopping: Arc::new(AtomicBool::new(false)),
    };
    drop(runtime.spawn(keep_house(handle.clone())));
    let (runtime, workers) = (Some(runtime), Some(workers));
    Ok(Engine { parts, connections, handle, runtime, workers, _watch: watch })
}

fn start_workers(parts: &Arc<Parts>, links: &Arc<EngineLinks>) -> Result<super::Workers> {
    let config = timely::Config {
        communication: timely::CommunicationConfig::Process(parts.controls.len()),
        worker: timely::WorkerConfig::default().idle_spin(Duration::from_micros(10)),
    };
    let (parts, links) = (Arc::clone(parts), Arc::clone(links));
    timely::execute(config, move |worker| super::run(worker, &parts, &links))
        .map_err(|why| Error::new(ErrorKind::Broken, format!("could not start workers: {why}")))
}

/// Names are checked before anything is opened (behaviour.md, case 4).
fn check_names(builder: &EngineBuilder) -> Result<()> {
    if let Some(problem) = builder.models.problem() {
        return Err(Error::misconfigured(problem));
    }
    let mut seen = std::collections::HashSet::new();
    for connection in &builder.connections {
        let name = &connection.name;
        if let Some(problem) = model_name_error(name) {
            let problem = problem.replacen("model name", "connection name", 1);
            return Err(Error::misconfigured(problem));
        }
        if !seen.insert(name) {
            let what = format!("the connection name \"{name}\" is registered twice");
            return Err(Error::misconfigured(what));
        }
    }
    Ok(())
}

/// Listeners are bound and settings checked before the state is touched.
fn prepare_all(connections: &mut [Connection]) -> Result<()> {
    for connection in connections.iter_mut().filter(|connection| connection.settings.enabled) {
        connection.connector.prepare().map_err(|error| {
            let kind = match error.is_retryable() {
                true => ErrorKind::Unavailable,
                false => ErrorKind::Misconfigured,
            };
            Error::new(kind, format!("connection \"{}\"", connection.name)).because(error)
        })?;
    }
    Ok(())
}

fn worker_count(asked: usize) -> usize {
    if asked > 0 {
        return asked;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).max(1)
}

fn open_store(builder: &EngineBuilder) -> Result<Arc<dyn EpochStore>> {
    match &builder.store {
        StoreChoice::Memory => Ok(Arc::new(MemoryStore::new(random()?))),
        StoreChoice::Custom(store) => Ok(Arc::clone(store)),
        StoreChoice::Log { dir, segment_bytes, commit } => {
            open_log(dir, *segment_bytes, *commit, builder)
        }
    }
}

#[cfg(feature = "local-log")]
fn open_log(
    dir: &Path,
    segment_bytes: Option<u64>,
    commit: Commit,
    builder: &EngineBuilder,
) -> Result<Arc<dyn EpochStore>> {
    use crate::store::{LocalLog, LogOptions};
    let clock = crate::clock::system_clock();
    let supervision = builder.supervision.clone();
    let failed = move |error| failure::store_failed(error, &supervision);
    let options = LogOptions::new(random()?, Arc::new(failed));
    let segment_bytes = segment_bytes.unwrap_or(options.segment_bytes);
    let clock = Arc::new(move || clock().0);
    let (sync_every, recover_from) = (commit.interval(), builder.recover_from);
    let options = LogOptions { segment_bytes, sync_every, clock, recover_from, ..options };
    Ok(Arc::new(LocalLog::open(dir, options)?))
}

#[cfg(not(feature = "local-log"))]
fn open_log(
    dir: &Path,
    _segment_bytes: Option<u64>,
    _commit: Commit,
    _builder: &EngineBuilder,
) -> Result<Arc<dyn EpochStore>> {
    let dir = dir.display();
    Err(Error::misconfigured(format!(
        "this build has no local-log to keep \"{dir}\" with; build with the feature local-log, or \
         choose the memory store"
    )))
}

/// What a connection says of itself, and what its outbox is limited to.
fn prepare(connection: Connection, workers: usize) -> (Connection, (ConnectorInfo, usize)) {
    let info = connection.connector.info();
    let slots = connection.connector.slots(workers).max(1);
    (connection, (info, slots))
}

/// Makes the slots of one connection, numbered one after another (law S1).
fn make_slots(
    name: &str,
    connection_number: u16,
    (info, count): &(ConnectorInfo, usize),
    workers: usize,
    edge: &Arc<Edge>,
    wakes: &[Arc<Wake>],
    all: &mut Vec<Arc<Slot>>,
) -> Result<Vec<Arc<Slot>>> {
    let connection: Arc<str> = name.into();
    let expiry_secs = info.feedback_expiry_secs.unwrap_or(OUTBOX_LIMITS.expiry_secs);
    let limits = OutboxLimits { expiry_secs, ..OUTBOX_LIMITS };
    let mut own = Vec::with_capacity(*count);
    for number in 0..*count {
        let worker = slot_worker(name, number, workers);
        let place = SlotPlace {
            id: slot_id(all)?,
            connection: Arc::clone(&connection),
            connection_number,
            number,
            slots: *count,
            worker,
            format: info.format,
            answers: info.answers,
            dedupe_keep_secs: info.dedupe_keep_secs,
        };
        let slot = Slot::new(place, Arc::clone(edge), Arc::clone(&wakes[worker]), limits);
        own.push(Arc::clone(&slot));
        all.push(slot);
    }
    Ok(own)
}

fn slot_id(all: &[Arc<Slot>]) -> Result<u16> {
    u16::try_from(all.len())
        .map_err(|_| Error::misconfigured("all connections together have more than 65,535 links"))
}

/// One slot per worker for the engine's own requests (law R1).
fn engine_slots(
    edge: &Arc<Edge>,
    wakes: &[Arc<Wake>],
    all: &mut Vec<Arc<Slot>>,
) -> Result<Vec<Arc<Slot>>> {
    let connection: Arc<str> = ENGINE.into();
    let mut own = Vec::with_capacity(wakes.len());
    for (worker, wake) in wakes.iter().enumerate() {
        let place = SlotPlace {
            id: slot_id(all)?,
            connection: Arc::clone(&connection),
            connection_number: u16::MAX,
            number: worker,
            slots: wakes.len(),
            worker,
            format: Format::Json,
            answers: true,
            dedupe_keep_secs: None,
        };
        let slot = Slot::new(place, Arc::clone(edge), Arc::clone(wake), OUTBOX_LIMITS);
        own.push(Arc::clone(&slot));
        all.push(slot);
    }
    Ok(own)
}
