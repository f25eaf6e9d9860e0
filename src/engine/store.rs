//! Where an engine keeps its twins, as its user says it.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use twinflow_operators::store::EpochStore;

/// When the log syncs what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// Each epoch as soon as the disk is free: acknowledgements wait for one sync.
    #[default]
    EveryEpoch,
    /// Many epochs share one sync, at most one each second: acknowledgements wait for up to a
    /// second. Nothing else is given up: what is acknowledged is durable.
    EverySecond,
}

impl Commit {
    /// Least time between two syncs.
    pub(super) fn interval(self) -> Duration {
        match self {
            Self::EveryEpoch => Duration::ZERO,
            Self::EverySecond => Duration::from_secs(1),
        }
    }
}

/// Where twins are kept.
#[derive(Clone)]
pub enum StoreChoice {
    /// The epoch log in this directory: the default.
    Log {
        /// The state directory.
        dir: PathBuf,
        /// Bytes of one segment file; `None`: 64 MiB.
        segment_bytes: Option<u64>,
        /// When epochs are synced.
        commit: Commit,
    },
    /// Nothing survives the process (law D13).
    Memory,
    /// A store of one's own.
    Custom(Arc<dyn EpochStore>),
}

impl StoreChoice {
    /// The log in `dir` with the default settings.
    pub(super) fn log_in(dir: PathBuf) -> Self {
        Self::Log { dir, segment_bytes: None, commit: Commit::default() }
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log { dir, commit, .. } => {
                let synced = match commit {
                    Commit::EveryEpoch => "every epoch is synced",
                    Commit::EverySecond => "synced every second",
                };
                write!(f, "log in \"{}\", {synced}", dir.display())
            }
            Self::Memory => f.write_str(
                "memory: NOTHING survives this process; everything acknowledged is lost with it",
            ),
            Self::Custom(_) => f.write_str("a store of the program's own"),
        }
    }
}

impl fmt::Debug for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log { dir, .. } => f.debug_tuple("Log").field(dir).finish(),
            Self::Memory => f.write_str("Memory"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}
