//! What one worker knows of how far everything is, and what it is told from outside.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{activity::Activity, process::model_worker::TwinPage};

/// Frontiers of a process as numbers, for whoever is not an operator. `u64::MAX`: all is done.
#[derive(Debug, Default)]
pub struct Progress {
    /// Every epoch before this one is processed on all workers.
    pub processed: AtomicU64,
    /// Every epoch before this one is committed and handed to the links.
    pub committed: AtomicU64,
    /// Epochs closed with data by the sources of this process.
    pub epochs: AtomicU64,
    /// Why the engine must end (law P5), once it must.
    pub halted: OnceLock<String>,
    /// Why the graph that was asked for cannot be built, if it cannot.
    pub misbuilt: OnceLock<String>,
    /// What the operators before the twins did.
    pub pipeline: PipelineCounts,
    /// Rung when another epoch is committed.
    pub bell: CommitBell,
}

/// Whoever wants to know that another epoch is committed; nobody is the rule.
#[derive(Default)]
pub struct CommitBell(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl CommitBell {
    /// Rings from now on; only the first one that is attached.
    pub fn attach(&self, ring: impl Fn() + Send + Sync + 'static) {
        let _attached_before = self.0.set(Box::new(ring)).is_err();
    }

    pub(crate) fn ring(&self) {
        if let Some(ring) = self.0.get() {
            ring();
        }
    }
}

impl fmt::Debug for CommitBell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommitBell").field(&self.0.get().is_some()).finish()
    }
}

/// What the operators before the twins did to messages, counted once per epoch or activation.
#[derive(Debug, Default)]
pub struct PipelineCounts {
    /// Messages that went no further; they are acknowledged all the same.
    pub dropped: AtomicU64,
    /// Messages that were made beyond one for each that came.
    pub added: AtomicU64,
    /// Messages that became dead letters.
    pub failed: AtomicU64,
    /// Changes that came too late for their window, or without a time.
    pub late: AtomicU64,
}

/// Called once with the answer; an operator never waits for who asked.
pub type Answer<T> = Box<dyn FnOnce(T) + Send>;

/// What is asked of a worker between epochs.
pub enum Ask {
    /// The state of a twin as it is now, as JSON.
    State {
        /// Number of the model.
        model: u16,
        /// The twin's id.
        id: String,
        /// Where the answer goes.
        answer: Answer<Option<Vec<u8>>>,
    },
    /// A page of twin ids.
    Page {
        /// Number of the model.
        model: u16,
        /// The slot to start at.
        start: u32,
        /// How many ids at most.
        limit: usize,
        /// Where the answer goes.
        answer: Answer<TwinPage>,
    },
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::State { .. } => "Ask::State",
            Self::Page { .. } => "Ask::Page",
        })
    }
}

/// What a worker is told from outside, and what it lets others see.
#[derive(Default)]
pub struct Control {
    /// What it is doing.
    pub activity: Activity,
    asks: Mutex<VecDeque<Ask>>,
    ring: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Confirmations are written at once, not after 100 ms (law F2).
    pub flush: AtomicBool,
    /// The source gives up its capability: the dataflow ends once all is committed.
    pub end: AtomicBool,
    /// The worker drops the dataflow where it is: nothing more is committed or acknowledged.
    pub quit: AtomicBool,
}

impl Control {
    /// Asks; the answer comes when the worker looks between two epochs.
    pub fn ask(&self, ask: Ask) {
        self.asks.lock().expect("asks").push_back(ask);
        if let Some(ring) = self.ring.get() {
            ring();
        }
    }

    pub(crate) fn attach(&self, ring: impl Fn() + Send + Sync + 'static) {
        let _attached_before = self.ring.set(Box::new(ring)).is_err();
    }

    pub(crate) fn next_ask(&self) -> Option<Ask> {
        self.asks.lock().expect("asks").pop_front()
    }

    pub(crate) fn ends(&self) -> bool {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn quits(&self) -> bool {
        self.quit.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("end", &self.end).finish_non_exhaustive()
    }
}
