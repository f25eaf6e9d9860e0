//! Writes to a log without an engine: parts of epochs, each durable before more than a few follow.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

use twinflow_operators::{
    recover::Recovered,
    store::{Claimed, EpochPart, EpochStore, StoreError},
};

use super::whole;
use crate::{
    clock::random,
    error::{Error, ErrorKind, Result},
    store::{LocalLog, LogOptions},
};

/// Epochs that are not durable yet.
const UNCOMMITTED_MAX: u64 = 4;

/// The bell is looked at again after this time even if nobody rang.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everything in a log.
pub(super) fn read_back(log: &LocalLog) -> Result<Recovered> {
    let read = Recovered::read(1, Arc::default(), |reading, each| {
        log.replay_newest_first(1, reading, each)
    });
    Ok(read?)
}

/// What a log tells of itself while it is written.
pub(super) struct Told {
    failure: Arc<Mutex<Option<StoreError>>>,
    bell: Receiver<()>,
}

/// Options of a log that is written here, and what it will tell.
pub(super) fn options(segment_bytes: Option<u64>) -> Result<(LogOptions, Told, Bell)> {
    let failure: Arc<Mutex<Option<StoreError>>> = Arc::default();
    let (ring, bell) = sync_channel(1);
    let failed = Arc::clone(&failure);
    let on_failure = move |error| {
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    };
    let options = LogOptions::new(random()?, Arc::new(on_failure));
    let segment_bytes = segment_bytes.unwrap_or(options.segment_bytes);
    // Who does not hear a bell because one rings already looks all the same.
    let ring = Box::new(move || {
        let _rings_already = ring.try_send(()).is_err();
    });
    Ok((LogOptions { segment_bytes, ..options }, Told { failure, bell }, ring))
}

/// Rung by the log.
pub(super) type Bell = Box<dyn Fn() + Send + Sync>;

/// A log with the epoch that is written next.
pub(super) struct Appender<'l> {
    log: &'l LocalLog,
    told: Told,
    next: u64,
}

impl<'l> Appender<'l> {
    /// Takes the next generation of a log that was replayed, as its only worker.
    pub(super) fn claim(log: &'l LocalLog, told: Told, bell: Bell) -> Result<Self> {
        let Claimed { base, .. } = log.claim(1)?;
        log.attach(0, bell);
        Ok(Self { log, told, next: base + 1 })
    }

    /// Hands over one epoch; waits while too many are not durable.
    pub(super) fn append(&mut self, part: EpochPart) -> Result<u64> {
        let epoch = self.next;
        self.next += 1;
        self.log.append(0, epoch, part);
        self.log.closed(0, self.next);
        self.wait(epoch.saturating_sub(UNCOMMITTED_MAX))?;
        Ok(epoch)
    }

    /// Everything that was handed over is durable when this returns.
    pub(super) fn finish(self) -> Result<()> {
        self.wait(self.next - 1)?;
        Ok(self.log.seal()?)
    }

    fn wait(&self, epoch: u64) -> Result<()> {
        loop {
            let failure = self.told.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(failure) = failure {
                return Err(failure.into());
            }
            if self.log.durable(0) > epoch {
                return Ok(());
            }
            let _bell_or_time = self.told.bell.recv_timeout(LOOK_EVERY).is_ok();
        }
    }
}

/// A state directory of an engine that does not run, taken to change it.
pub(super) struct Changing {
    log: LocalLog,
    told: Told,
    bell: Bell,
    pub(super) recovered: Recovered,
}

impl Changing {
    /// Takes the directory and reads it.
    pub(super) fn open(dir: &Path, segment_bytes: u64) -> Result<Self> {
        // Opening a log makes a directory that is not there.
        if !dir.exists() {
            let what = format!("there is no state directory \"{}\"", dir.display());
            return Err(Error::new(ErrorKind::StateRefused, what));
        }
        let (options, told, bell) = options(Some(segment_bytes))?;
        let log = LocalLog::open(dir, options)?;
        let recovered = read_back(&log)?;
        whole(&recovered)?;
        Ok(Self { log, told, bell, recovered })
    }

    /// Writes one epoch and stops cleanly; says its number.
    pub(super) fn commit(self, part: EpochPart) -> Result<u64> {
        let mut appender = Appender::claim(&self.log, self.told, self.bell)?;
        let epoch = appender.append(part)?;
        appender.finish()?;
        Ok(epoch)
    }
}
