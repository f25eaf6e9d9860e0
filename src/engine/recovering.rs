//! How far the start of an engine is: for whoever asks, and in the log when it takes long.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use twinflow_operators::recover::RecoveryProgress;

use crate::error::{Error, ErrorKind, Result};

/// A start that takes no longer says nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks are told, then every tenth one.
const LOOKS_TOLD: u64 = 10;

/// A start under way.
#[derive(Debug, Default)]
pub(crate) struct Recovering {
    pub(super) progress: Arc<RecoveryProgress>,
    /// What is done in a second of each task; 0 while that is not known.
    per_second: [AtomicU64; 2],
}

/// What a start does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Reads the log; counted in bytes.
    Reading,
    /// Loads twins.
    Loading,
}

/// How far it is with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) task: Task,
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// Since the task began; 0 while it is not known.
    pub(crate) per_second: u64,
}

impl Recovering {
    /// How far it is; `None` before there is something to count, and where nothing is stored.
    pub(crate) fn step(&self) -> Option<Step> {
        let loading = (Task::Loading, self.progress.twins());
        let reading = (Task::Reading, self.progress.reading.get());
        let (task, (done, total)) =
            [loading, reading].into_iter().find(|(_, (_, total))| *total > 0)?;
        let per_second = self.per_second[task as usize].load(Ordering::Relaxed);
        Some(Step { task, done, total, per_second })
    }

    /// Looks, a second after the last time; `seen` counts the looks at one task.
    fn look(&self, seen: &mut Option<(Task, u64)>) -> Option<Step> {
        let step = self.step()?;
        let looks = seen.filter(|(task, _)| *task == step.task).map_or(0, |(_, looks)| looks) + 1;
        *seen = Some((step.task, looks));
        let per_second = step.done / looks;
        self.per_second[step.task as usize].store(per_second, Ordering::Relaxed);
        Some(Step { per_second, ..step })
    }
}

impl Step {
    /// At the rate of the task so far.
    pub(crate) fn seconds_left(&self) -> Option<u64> {
        let left = self.total.saturating_sub(self.done);
        (self.per_second > 0).then(|| left.div_ceil(self.per_second))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit, of) = match self.task {
            Task::Reading => ("reading the log", " MB", 1_000_000),
            Task::Loading => ("loading twins", "", 1),
        };
        let percent = self.done.saturating_mul(100) / self.total.max(1);
        write!(f, "{what}: {percent} % of {}{unit}", self.total / of)?;
        match self.seconds_left() {
            Some(left) => {
                write!(f, ", {}{unit} a second, about {left} s left", self.per_second / of)
            }
            None => Ok(()),
        }
    }
}

/// The thread that says it; dropped, it ends.
#[derive(Debug)]
pub(super) struct Teller {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    /// Tells how far a start is from its first second on.
    pub(super) fn start(recovering: &Arc<Recovering>) -> Result<Self> {
        let (stop, recovering) = (Arc::<AtomicBool>::default(), Arc::clone(recovering));
        let stopped = Arc::clone(&stop);
        let tell = move || {
            let mut seen = None;
            for nth in 0u64.. {
                std::thread::park_timeout(LOOK_EVERY);
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Some(step) = recovering.look(&mut seen) else { continue };
                if nth < LOOKS_TOLD || nth.is_multiple_of(LOOKS_TOLD) {
                    tracing::info!("recovering: {step}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("twinflow:recover".into()).spawn(tell);
        let thread = thread.map_err(|error| {
            let what = "could not start the thread that says how far a start is";
            Error::new(ErrorKind::Unavailable, what).because(error)
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_what_it_does_how_fast_and_how_long_it_will_take() {
        let (recovering, mut seen) = (Recovering::default(), None);
        assert_eq!(recovering.look(&mut seen), None, "nothing is known yet");
        let reading = &recovering.progress.reading;
        reading.begin(5_000_000_000);
        let text = |seen: &mut _| recovering.look(seen).unwrap().to_string();
        assert_eq!(text(&mut seen), "reading the log: 0 % of 5000 MB");
        reading.add(2_000_000_000);
        let told = "reading the log: 40 % of 5000 MB, 1000 MB a second, about 3 s left";
        assert_eq!(text(&mut seen), told);
        assert_eq!(recovering.step().unwrap().to_string(), told, "for whoever asks meanwhile");
        let slower = "reading the log: 40 % of 5000 MB, 666 MB a second, about 5 s left";
        assert_eq!(text(&mut seen), slower);
    }
}
