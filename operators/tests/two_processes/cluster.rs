//! Two process groups of timely in one test process, each with its own edge, clock and store.

use std::{
    os::unix::net::UnixStream,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use timely::communication::{
    AllocatorBuilder, Hooks, WorkerGuards,
    allocator::{ProcessBuilder, zero_copy::initialize::initialize_networking_from_sockets},
};
use twinflow_connectors::{
    link::{Edge, Link, LinkEvent, ModelNames, OUTBOX_LIMITS, Slot, SlotPlace, Wake},
    message::{Clock, Format, Message, Timestamp},
    route::{bucket, owner, twin_hash},
};
use twinflow_operators::{
    clock::EpochClock,
    models::Models,
    progress::{Ask, Control, Progress},
    worker::{Limits, WorkerSetup, run_worker},
};

use crate::{
    store::TestStore,
    twin::{Answer, Log},
};

pub(crate) const PROCESSES: usize = 2;
const MODEL: u16 = 0;

/// One of the two.
pub(crate) struct Process {
    edge: Arc<Edge>,
    /// All slots of the generation; those of other processes are never opened here.
    slots: Vec<Arc<Slot>>,
    pub(crate) store: Arc<TestStore>,
    progress: Arc<Progress>,
    controls: Vec<Arc<Control>>,
    wakes: Vec<Arc<Wake>>,
}

/// Both; connection number `n` has one slot, on worker `n`.
pub(crate) struct Cluster {
    pub(crate) processes: Vec<Process>,
    threads: usize,
    running: Vec<JoinHandle<WorkerGuards<()>>>,
}

/// A link and what it was told.
pub(crate) struct Client {
    link: Link,
    pub(crate) acknowledged: u64,
    /// Payloads of feedback with the twin, in order.
    pub(crate) feedback: Vec<(String, u64)>,
}

/// Looks every 5 ms until it holds, at most `limit`.
pub(crate) fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    (0..limit.as_millis() / 5).any(|_| {
        let now = holds();
        if !now {
            std::thread::sleep(Duration::from_millis(5));
        }
        now
    })
}

pub(crate) fn eventually(holds: impl FnMut() -> bool) -> bool {
    within(Duration::from_secs(20), holds)
}

impl Process {
    fn new(index: usize, threads: usize) -> Self {
        let workers = PROCESSES * threads;
        let edge = Edge::new(workers, ModelNames::new([("log".to_owned(), MODEL)]), time());
        let wakes: Vec<Arc<Wake>> = (0..workers).map(|_| Arc::default()).collect();
        let slots = (0..workers).map(|worker| slot(worker, &edge, &wakes[worker])).collect();
        let own = index * threads..(index + 1) * threads;
        Self {
            edge,
            slots,
            store: Arc::new(TestStore::new(workers)),
            progress: Arc::default(),
            controls: own.clone().map(|_| Arc::default()).collect(),
            wakes: wakes[own].to_vec(),
        }
    }

    /// What each of its workers is made of.
    fn setups(&self, index: usize, threads: usize) -> Vec<WorkerSetup> {
        let models = Models::new().with("log", Answer);
        let clock = Arc::new(EpochClock::new(1));
        let one = |local: usize| WorkerSetup {
            index: index * threads + local,
            threads,
            generation: 1,
            first_epoch: 1,
            edge: Arc::clone(&self.edge),
            slots: self.slots.clone(),
            wake: Arc::clone(&self.wakes[local]),
            clock: Arc::clone(&clock),
            time: time(),
            store: self.store.clone(),
            models: models.clone(),
            recovered: Arc::default(),
            first_part: None,
            dead_letters: Arc::default(),
            quarantine: Arc::default(),
            taps: Arc::default(),
            progress: Arc::clone(&self.progress),
            watchers: Vec::new(),
            control: Arc::clone(&self.controls[local]),
            limits: Limits::of_worker(PROCESSES * threads),
            on_halt: Arc::new(|why| panic!("{why}")),
        };
        (0..threads).map(one).collect()
    }

    fn run(
        &self,
        index: usize,
        threads: usize,
        socket: UnixStream,
    ) -> JoinHandle<WorkerGuards<()>> {
        let setups = self.setups(index, threads);
        std::thread::spawn(move || {
            let hooks = Hooks::default();
            let inner = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), None);
            let mut sockets = vec![Some(socket)];
            sockets.insert(index, None);
            let (builders, guard) =
                initialize_networking_from_sockets(inner, sockets, index, threads, hooks).unwrap();
            let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
            let config = timely::WorkerConfig::default();
            timely::execute::execute_from(builders, Box::new(guard), config, move |worker| {
                let setup = setups[worker.index() % threads].clone();
                run_worker(worker, setup, &|feed| {
                    let models = feed.models();
                    feed.process(models).settle()
                });
            })
            .unwrap()
        })
    }
}

impl Cluster {
    pub(crate) fn start(threads: usize) -> Self {
        let processes: Vec<_> = (0..PROCESSES).map(|index| Process::new(index, threads)).collect();
        let (one, other) = UnixStream::pair().unwrap();
        let both = processes.iter().zip([one, other]).enumerate();
        let running = both.map(|(index, (process, socket))| process.run(index, threads, socket));
        let cluster = Self { running: running.collect(), processes, threads };
        let up = |process: &Process| process.progress.processed.load(Ordering::Acquire) > 1;
        assert!(eventually(|| cluster.processes.iter().all(up)), "law S3: the first epoch is over");
        cluster
    }

    pub(crate) fn workers(&self) -> usize {
        PROCESSES * self.threads
    }

    /// Opens the link on a worker.
    pub(crate) fn client(&self, worker: usize) -> Client {
        let process = &self.processes[worker / self.threads];
        Client { link: process.slots[worker].open(), acknowledged: 0, feedback: Vec::new() }
    }

    /// The state of a twin as its worker has it.
    pub(crate) fn numbers(&self, twin: &str) -> Vec<u64> {
        let worker = self.owner(twin);
        let (tell, told) = mpsc::sync_channel(1);
        let answer = Box::new(move |state| tell.send(state).unwrap());
        let control = &self.processes[worker / self.threads].controls[worker % self.threads];
        control.ask(Ask::State { model: MODEL, id: twin.to_owned(), answer });
        let state: Option<Vec<u8>> = told.recv_timeout(Duration::from_secs(10)).unwrap();
        state.map_or(Vec::new(), |json| serde_json::from_slice::<Log>(&json).unwrap().numbers)
    }

    pub(crate) fn owner(&self, twin: &str) -> usize {
        owner(bucket(twin_hash(twin.as_bytes())), self.workers())
    }

    /// A twin that a worker owns.
    pub(crate) fn twin_of(&self, worker: usize) -> String {
        let mut ids = (0..).map(|number| format!("twin-{number}"));
        ids.find(|id| self.owner(id) == worker).unwrap()
    }

    /// Both end once all is committed.
    pub(crate) fn end(mut self) {
        for process in &self.processes {
            for (control, wake) in process.controls.iter().zip(&process.wakes) {
                control.end.store(true, Ordering::Release);
                wake.ring();
            }
        }
        for running in std::mem::take(&mut self.running) {
            let joined = running.join().unwrap().join();
            joined.into_iter().for_each(|worker| worker.unwrap());
        }
    }
}

impl Drop for Cluster {
    /// A test that failed ends, whatever its workers wait for.
    fn drop(&mut self) {
        for process in &self.processes {
            for (control, wake) in process.controls.iter().zip(&process.wakes) {
                control.quit.store(true, Ordering::Release);
                wake.ring();
            }
        }
    }
}

impl Client {
    /// Delivers messages for a twin.
    pub(crate) fn send(&mut self, messages: &[(&str, u64)]) -> u64 {
        let mut delivery = self.link.intake.try_reserve().unwrap().unwrap();
        for (twin, number) in messages {
            let payload = number.to_string();
            assert!(delivery.push(&Message::new("log", twin, payload.as_bytes())));
        }
        delivery.deliver().0
    }

    /// Takes what it was told; whether that acknowledges a receipt.
    pub(crate) fn is_told(&mut self, receipt: u64) -> bool {
        while let Some(event) = self.link.events.try_next() {
            match event {
                LinkEvent::Acknowledged { up_to, .. } => self.acknowledged = up_to.0,
                LinkEvent::Send(feedback) => {
                    let number = serde_json::from_slice(&feedback.payload).unwrap();
                    self.feedback.push((feedback.twin, number));
                    self.link.events.sent(feedback.ticket);
                }
                other => panic!("{other:?}"),
            }
        }
        self.acknowledged >= receipt
    }
}

/// Since the first process was made.
#[expect(clippy::disallowed_methods, reason = "delivered marks wait for real time to pass")]
fn time() -> Clock {
    let start = std::time::Instant::now();
    Arc::new(move || Timestamp(1_000_000 + start.elapsed().as_micros() as u64))
}

fn slot(worker: usize, edge: &Arc<Edge>, wake: &Arc<Wake>) -> Arc<Slot> {
    let place = SlotPlace {
        id: worker as u16,
        connection: format!("plant-{worker}").into(),
        connection_number: worker as u16,
        number: 0,
        slots: 1,
        worker,
        format: Format::Json,
        answers: false,
        dedupe_keep_secs: None,
    };
    Slot::new(place, Arc::clone(edge), Arc::clone(wake), OUTBOX_LIMITS)
}
