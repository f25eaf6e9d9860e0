//! The one place where the machine's clock and random source are read.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use twinflow_connectors::message::{Clock, Timestamp};

use crate::error::{Error, ErrorKind, Result};

/// The machine's clock.
#[expect(clippy::disallowed_methods, reason = "the engine passes this clock to all below it")]
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    })
}

/// A random number from the operating system.
///
/// # Errors
///
/// The operating system gives none.
pub(crate) fn random() -> Result<u64> {
    getrandom::u64().map_err(|error| {
        let what = format!("could not read a random number from the operating system: {error}");
        Error::new(ErrorKind::Unavailable, what)
    })
}
