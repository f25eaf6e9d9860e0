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
    #[inline]
    pub fn heard(&self) {
        self.ringing.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("ringing", &self.ringing).finish_non_exhaustive()
    }
}
