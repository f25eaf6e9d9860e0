//! How long things take, what a run prints, and patience that ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

#[expect(clippy::disallowed_methods, reason = "the time that a run takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Looks every 20 ms until something holds, and fails when that takes longer than `secs`.
pub(crate) fn until(secs: u64, what: &str, mut holds: impl FnMut() -> bool) {
    let start = now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(secs), "not within {secs} s: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Prints a line of the result.
#[expect(clippy::print_stdout, reason = "what a run counted is its result")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The wall clock, in nanoseconds since 1970, as other processes of this machine see it.
#[expect(clippy::disallowed_methods, reason = "compared with what another process wrote")]
pub(crate) fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// Watches whether this process stood still, as when somebody stops it or the machine.
pub(crate) struct StoodStill {
    most_ms: Arc<AtomicU64>,
}

impl StoodStill {
    /// Watches from now on, as long as the value lives.
    pub(crate) fn watch() -> Self {
        let most_ms = Arc::<AtomicU64>::default();
        let seen = Arc::downgrade(&most_ms);
        std::thread::spawn(move || {
            loop {
                let before = now();
                sleep(Duration::from_millis(50));
                let gap = before.elapsed().saturating_sub(Duration::from_millis(50));
                let Some(most) = seen.upgrade() else { return };
                most.fetch_max(u64::try_from(gap.as_millis()).unwrap(), Ordering::Relaxed);
            }
        });
        Self { most_ms }
    }

    /// The longest time, in seconds, since this was asked last.
    pub(crate) fn secs(&self) -> f64 {
        self.most_ms.swap(0, Ordering::Relaxed) as f64 / 1000.0
    }
}

/// A message whose sender was told that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) id: u64,
    /// Whether it was sent only once.
    pub(crate) first: bool,
    /// When it was sent, the last time, by [`wall_nanos`].
    pub(crate) sent: u64,
    /// When its sender was told.
    pub(crate) at: u64,
}
