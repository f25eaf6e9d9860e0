//! When the epochs that share a sync are handed over: after a time, or when they are many.

use std::time::Duration;

use super::options::{Clock, LogOptions};

/// Groups of epochs that are handed over together.
pub(super) struct Pace {
    /// Least time between the ends of two groups.
    every: Duration,
    /// So many bytes do not wait longer.
    bytes_max: u64,
    clock: Clock,
    /// When the last group ended, as long as that lets the next one wait.
    ended_at: Option<u64>,
    /// The first epoch of the open group.
    cut: u64,
    /// The newest epoch that a worker works off or has worked off.
    begun: u64,
    workers: Vec<Worker>,
}

#[derive(Clone, Default)]
struct Worker {
    /// It has worked off everything below this epoch.
    through: u64,
    /// Bytes that it has not handed over.
    held: u64,
}

/// More than this is not gathered: each part of it is memory that a worker writes to at random.
const GROUP_BYTES: u64 = 32 << 20;

impl Pace {
    /// That of a log with these options behind epoch `base`; `None`: every epoch for itself.
    pub(super) fn of(options: &LogOptions, workers: usize, base: u64) -> Option<Self> {
        let clock = Clock::clone(&options.clock);
        let every = options.sync_every;
        (!every.is_zero()).then(|| Self::new((every, GROUP_BYTES), clock, workers, base))
    }

    pub(super) fn new(
        (every, bytes_max): (Duration, u64),
        clock: Clock,
        workers: usize,
        base: u64,
    ) -> Self {
        let cut = base + 1;
        let worker = Worker { through: cut, held: 0 };
        let workers = vec![worker; workers];
        Self { every, bytes_max, clock, ended_at: None, cut, begun: base, workers }
    }

    /// A worker works off an epoch; the first epoch of the open group.
    pub(super) fn begin(&mut self, epoch: u64) -> u64 {
        self.begun = self.begun.max(epoch);
        self.cut
    }

    /// A worker has worked off everything below `through` and holds `held` bytes; what it held.
    pub(super) fn worked_off(&mut self, worker: usize, through: u64, held: u64) -> u64 {
        let worker = &mut self.workers[worker];
        worker.through = worker.through.max(through);
        std::mem::replace(&mut worker.held, held)
    }

    /// Whether a worker has worked off everything below `end`.
    pub(super) fn has_worked_off(&self, worker: usize, end: u64) -> bool {
        self.workers[worker].through >= end
    }

    /// A worker has handed over so many bytes. Whether it had said that it holds them.
    pub(super) fn handed(&mut self, worker: usize, bytes: u64) -> bool {
        let held = &mut self.workers[worker].held;
        let left = held.checked_sub(bytes);
        *held = left.unwrap_or(*held);
        left.is_some()
    }

    /// The first epoch of the open group: everything before it is handed over.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    /// Behind the newest epoch that anybody has begun.
    fn end(&self) -> u64 {
        self.workers.iter().map(|worker| worker.through).fold(self.begun + 1, u64::max)
    }

    /// Whether there is something in the open group.
    fn waits(&self) -> bool {
        self.end() > self.cut
    }

    /// Whether all that was begun is worked off, and nobody holds anything of it.
    fn is_quiet(&self) -> bool {
        self.workers.iter().all(|worker| worker.held == 0 && worker.through > self.begun)
    }

    /// How long the open group waits, if there is something in it and the last one was handed over
    /// by all (up to `handed`).
    pub(super) fn left(&self, handed: u64) -> Option<Duration> {
        (self.waits() && handed >= self.cut).then(|| {
            // A clock that was set back lets nobody wait.
            let since = self.ended_at.and_then(|ended| (self.clock)().checked_sub(ended));
            since.map_or(Duration::ZERO, |it| self.every.saturating_sub(Duration::from_micros(it)))
        })
    }

    /// The time is over.
    pub(super) fn is_over(&mut self) {
        self.ended_at = None;
    }

    /// Ends the open group if it is time, and the last one was handed over by all (up to `handed`).
    /// `bytes` are not durable; `hurry`: nobody wants to wait. Whether it ended.
    ///
    /// Every worker that has begun an epoch before the end hands it over, and none that it begins
    /// later: the end is behind all that was begun.
    pub(super) fn end_group(&mut self, handed: u64, bytes: u64, hurry: bool) -> bool {
        let Some(left) = self.left(handed) else { return false };
        if !self.is_quiet() {
            if !left.is_zero() && bytes < self.bytes_max && !hurry {
                return false;
            }
            self.ended_at = Some((self.clock)());
        }
        self.cut = self.end();
        true
    }
}
