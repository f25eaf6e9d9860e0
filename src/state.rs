//! A state directory without an engine: look at it, check it, copy it, take from it. What
//! `twinflow state` and `twinflow connections reset` do.
//!
//! Reading changes nothing, not even the lock's file. Every change is one epoch of the log, so that
//! a kill leaves it done or not done; an import counts only when all of it is durable.

mod change;
mod check;
mod export;
#[cfg(feature = "testing")]
mod fuzz;
mod import;
mod info;
mod positions;
mod record;
mod remove;
mod transcode;

use std::{path::Path, sync::Arc};

use twinflow_operators::recover::Recovered;

#[cfg(feature = "testing")]
pub(crate) use self::fuzz::TARGETS;
pub(crate) use self::{
    check::{Configured, check},
    export::{Exported, What, export},
    import::import,
    info::info,
    positions::{Goal, Which, reset},
    remove::{Removal, Subject},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::{LogSummary, StoppedLog},
};

/// Everything in a state directory that nobody writes while this is held.
#[derive(Debug)]
pub(crate) struct Stored {
    log: StoppedLog,
    summary: LogSummary,
    recovered: Recovered,
}

impl Stored {
    /// Reads a directory; every check is made but those of the payloads of dead letters.
    ///
    /// # Errors
    ///
    /// The directory is in use, not ours, of a newer version or damaged.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let log = StoppedLog::open(dir)?;
        let mut summary = None;
        let recovered = Recovered::read(1, Arc::default(), |reading, each| {
            summary = Some(log.replay(reading, each)?);
            Ok::<_, Error>(())
        })?;
        whole(&recovered)?;
        let summary = summary.expect("it was read above");
        Ok(Self { log, summary, recovered })
    }
}

/// Refuses entries that cannot be read.
fn whole(recovered: &Recovered) -> Result<()> {
    match recovered.damage() {
        Some(damage) => Err(Error::new(ErrorKind::Disk, format!("the state is damaged: {damage}"))),
        None => Ok(()),
    }
}
