//! Wakes the worker that a slot belongs to, at most once until it looks.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

type Activate = Box<dyn Fn() + Send + Sync>;

/// The bell of one worker's source. Ringing costs 7 ns while it already rings, and microseconds
/// only when the worker must be unparked.
#[derive(Default)]
pub struct Wake {
    ringing: AtomicBool,
    activate: OnceLock<Activate>,
}

impl Wake {
    /// Attaches the worker's source; what rang before is heard now.
    pub fn attach(&self, activate: impl Fn() + Send + Sync + 'static) {
        if self.activate.set(Box::new(activate)).is_ok() {
            self.ringing.store(false, Ordering::Release);
            self.ring();
        }
    }

    /// Wakes the worker unless it is already on its way.
    #[inline]
    pub fn ring(&self) {
        if !self.ringing.swap(true, Ordering::AcqRel)
            && let Some(activate) = self.activate.get()
        {
            activate();
        }
    }

    /// Called by the source *before* it looks, so that nothing that comes later is missed.
    ///
    /// A swap, not a store: a store may become visible after the looks that follow it, and who
    /// rings in between would take the bell for one that is still to be heard.
    #[inline]
    pub fn heard(&self) {
        self.ringing.swap(false, Ordering::AcqRel);
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("ringing", &self.ringing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    /// Counts up by a few at a time and rings; waits until the other thread has seen it.
    #[test]
    fn nothing_that_comes_while_the_source_looks_is_missed() {
        const ROUNDS: u64 = 300_000;
        let (wake, awake) = (Arc::new(Wake::default()), Arc::new(AtomicBool::new(false)));
        let (count, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let activated = Arc::clone(&awake);
        wake.attach(move || activated.store(true, Ordering::SeqCst));
        let source = {
            let (wake, count, seen) = (Arc::clone(&wake), Arc::clone(&count), Arc::clone(&seen));
            std::thread::spawn(move || {
                while seen.load(Ordering::Relaxed) < 3 * ROUNDS {
                    if awake.swap(false, Ordering::SeqCst) {
                        wake.heard();
                        seen.store(count.load(Ordering::Acquire), Ordering::Release);
                    }
                    std::hint::spin_loop();
                }
            })
        };
        for round in 1..=ROUNDS {
            for _ in 0..3 {
                count.fetch_add(1, Ordering::Release);
                wake.ring();
            }
            let mut patience = 2_000_000_000_u64;
            while seen.load(Ordering::Acquire) < 3 * round {
                patience -= 1;
                assert!(patience > 0, "in round {round} the bell was not heard");
                if patience.is_multiple_of(1000) {
                    std::thread::yield_now();
                }
            }
        }
        source.join().unwrap();
    }
}
