//! Named places at which a test ends this process as `kill -9` would, or has it make a mistake.
//!
//! With the feature `fail-points`, which no release has, `TWINFLOW_FAIL_POINT=NAME:N` makes
//! `twinflow run` die when it comes to that place for the N-th time. Without the feature `pass` is
//! nothing.

/// All places, in the order of a life.
#[cfg(feature = "fail-points")]
const PLACES: &[&str] = &[
    "claim-written",
    "claim-made",
    "others-ended",
    "leftovers-removed",
    "tail-copied",
    "tail-moved",
    "tail-named",
    "start-unwritten",
    "start-written",
    "links-open",
    "letters-written",
    "letters-synced",
    "group-unwritten",
    "group-written",
    "group-synced",
    "group-reported",
    "header-synced",
    "segment-renamed",
    "segment-made",
    "spare-written",
    "spare-made",
    "sweep-begins",
    "sweep-complete",
    "segment-given-back",
    "seal-unwritten",
];

/// Mistakes of a log that tests must see: it says "durable" without a sync, or before it.
#[cfg(feature = "fail-points")]
const MISTAKES: &[&str] = &["skip-sync", "ack-first"];

/// The process comes to a place.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub(crate) const fn pass(_place: &'static str) {}

/// Whether the process makes a mistake: never.
#[cfg(all(feature = "local-log", not(feature = "fail-points")))]
#[inline(always)]
pub(crate) const fn makes(_mistake: &'static str) -> bool {
    false
}

#[cfg(all(feature = "fail-points", feature = "server"))]
pub(crate) use armed::arm;
#[cfg(feature = "fail-points")]
pub(crate) use armed::{makes, pass};

#[cfg(feature = "fail-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    #[cfg(feature = "server")]
    use super::MISTAKES;
    use super::PLACES;
    #[cfg(feature = "server")]
    use crate::error::{Error, ErrorKind, Result};

    static ARMED: OnceLock<(String, AtomicU64)> = OnceLock::new();

    /// Takes what the environment says: `NAME:N`, or `MISTAKE:1`.
    ///
    /// # Errors
    ///
    /// `Misconfigured`, with what is wrong with it.
    #[cfg(feature = "server")]
    pub(crate) fn arm() -> Result<()> {
        let Some(text) = std::env::var_os("TWINFLOW_FAIL_POINT") else { return Ok(()) };
        let text = text.to_string_lossy();
        let known = |place: &&str| PLACES.contains(place) || MISTAKES.contains(place);
        let armed = text.split_once(':').and_then(|(place, times)| {
            let times = times.parse().ok().filter(|times| *times > 0)?;
            Some((known(&place).then(|| place.to_owned())?, AtomicU64::new(times)))
        });
        let places = PLACES.join(", ");
        let wrong = || format!("TWINFLOW_FAIL_POINT is \"{text}\", it must be one of {places}:N");
        let set = armed.is_some_and(|armed| ARMED.set(armed).is_ok());
        if set { Ok(()) } else { Err(Error::new(ErrorKind::Misconfigured, wrong())) }
    }

    /// The process comes to a place.
    pub(crate) fn pass(place: &'static str) {
        debug_assert!(PLACES.contains(&place), "{place} is in no list");
        if let Some((armed, left)) = ARMED.get()
            && armed == place
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            let _there_is_no_other_end = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
    }

    /// Whether the process makes a mistake.
    pub(crate) fn makes(mistake: &'static str) -> bool {
        ARMED.get().is_some_and(|(armed, _)| armed == mistake)
    }
}
