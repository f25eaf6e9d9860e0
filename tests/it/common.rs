//! A model that shows what happened to it, and engines of every shape.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use twinflow::{
    Engine, EngineBuilder,
    connectors::memory::{Memory, MemoryBroker},
    operators::store::StoreError,
    prelude::*,
    store::{LocalLog, LogOptions},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a counter is told: its number, and what to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) n: u64,
    #[serde(default)]
    pub(crate) act: Act,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    #[default]
    Count,
    Reply,
    Fail,
    Panic,
    NoUpdate,
    Remove,
}

/// Everything that a twin saw, in order, and how its calls were cut.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) numbers: Vec<u64>,
    pub(crate) calls: u64,
    pub(crate) initialized: u64,
}

impl TwinModel for Seen {
    type Message<'m> = Step;
}

pub(crate) struct Watch;

impl MessageProcessor for Watch {
    type Model = Seen;

    fn initialize(
        &self,
        _cx: &mut ProcessingContext<'_>,
        twin: &mut Seen,
    ) -> Result<(), ProcessingError> {
        twin.initialized += 1;
        Ok(())
    }

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Seen,
        steps: Messages<'_, Step>,
    ) -> ProcessingResult {
        twin.calls += 1;
        let mut outcome = Outcome::Update;
        for step in steps {
            twin.numbers.push(step.n);
            match step.act {
                Act::Count => {}
                Act::Reply => cx.send_to_data_source(&step.n)?,
                Act::Fail => return Err(ProcessingError::message(format!("{} is bad", step.n))),
                Act::Panic => panic!("{} is worse", step.n),
                Act::NoUpdate => outcome = Outcome::NoUpdate,
                Act::Remove => outcome = Outcome::Remove,
            }
        }
        Ok(outcome)
    }
}

pub(crate) fn step(n: u64, act: Act) -> Vec<u8> {
    serde_json::to_vec(&Step { n, act }).unwrap()
}

/// An engine with the model "seen" and the memory connection "plant".
pub(crate) fn builder(workers: usize, memory: Memory) -> (EngineBuilder, MemoryBroker) {
    let broker = memory.broker();
    let builder = Engine::builder()
        .workers(workers)
        .memory_store()
        .model("seen", Watch)
        .connection("plant", memory);
    (builder, broker)
}

/// Waits until the broker's upstream was told that `count` messages are done.
pub(crate) fn wait_acknowledged(broker: &MemoryBroker, count: u64) {
    let done = broker.wait(PATIENCE, |broker| broker.acknowledged() >= count);
    assert!(done, "only {} of {count} messages were acknowledged", broker.acknowledged());
}

/// Looks every 5 ms until it holds, at most [`PATIENCE`]; for what no broker tells.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let looks = PATIENCE.as_millis() / 5;
    (0..looks).any(|_| {
        let now = holds();
        if !now {
            std::thread::sleep(Duration::from_millis(5));
        }
        now
    })
}

pub(crate) fn seen(engine: &Engine, id: &str) -> Option<Seen> {
    engine.twin("seen", id).unwrap()
}

/// The log in this directory, for a store around it.
pub(crate) fn log(dir: &Path) -> LocalLog {
    let fail = |error: StoreError| panic!("the log failed: {error}");
    LocalLog::open(dir, LogOptions::new(7, Arc::new(fail))).unwrap()
}

/// A processor that notes what each twin saw; at message 0 it stands still until it is told to go.
pub(crate) fn standing_still() -> (SyncSender<()>, impl MessageProcessor<Model = Seen>) {
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let may_go = Mutex::new(may_go);
    let processor = Doing(move |_: &mut ProcessingContext<'_>, twin: &mut Seen, steps: &[Step]| {
        if steps[0].n == 0 {
            may_go.lock().unwrap().recv().unwrap();
        }
        twin.numbers.extend(steps.iter().map(|step| step.n));
        Ok(Outcome::Update)
    });
    (go, processor)
}

/// A processor that is a closure over the twin and what it is told.
pub(crate) struct Doing<F>(pub(crate) F);

impl<F> MessageProcessor for Doing<F>
where
    F: Fn(&mut ProcessingContext<'_>, &mut Seen, &[Step]) -> ProcessingResult
        + Send
        + Sync
        + 'static,
{
    type Model = Seen;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut Seen,
        steps: Messages<'_, Step>,
    ) -> ProcessingResult {
        twin.calls += 1;
        (self.0)(cx, twin, &steps)
    }
}

/// A clock that a test sets, in seconds.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn at(secs: u64) -> Self {
        Self(Arc::new(AtomicU64::new(secs)))
    }

    pub(crate) fn set(&self, secs: u64) {
        self.0.store(secs, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> twinflow::connectors::message::Clock {
        let secs = Arc::clone(&self.0);
        Arc::new(move || Timestamp(0).plus_secs(secs.load(Ordering::SeqCst)))
    }
}

/// Starts an engine with a log in `dir`, the model "seen" and the connection "plant".
pub(crate) fn start(dir: &Path, workers: usize, memory: Memory) -> (Engine, MemoryBroker) {
    let (builder, broker) = builder(workers, memory);
    (builder.state_dir(dir).start().unwrap(), broker)
}
