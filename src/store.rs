//! What makes epochs durable: the stores behind
//! [`EpochStore`](twinflow_operators::store::EpochStore).
//!
//! [`MemoryStore`] keeps nothing and is only ever chosen explicitly (law D13).
//! `LocalLog` is the default: one directory on one machine, one frame per epoch, one sync per group
//! of epochs.

mod dead_letter;
#[cfg(any(test, feature = "testing"))]
mod held;
#[cfg(feature = "local-log")]
mod local_log;
mod memory;

#[cfg(any(test, feature = "testing"))]
pub use held::{HeldCounts, HeldStore};
#[cfg(all(feature = "local-log", any(test, feature = "testing")))]
pub use local_log::simulated::{Random, SimDisk};
#[cfg(feature = "local-log")]
pub use local_log::{Access, Disk, DiskFile, Free, LocalLog, LockError, LogOptions};
#[cfg(feature = "server")]
pub(crate) use local_log::{LogSummary, NewLog, StoppedLog};
pub use memory::MemoryStore;

/// What is read from the files of a log, for the tests of parsers.
#[cfg(all(feature = "local-log", feature = "testing"))]
pub(crate) mod fuzz {
    pub(crate) use super::local_log::fuzz::{TARGETS, bodies};
}
