//! Taps: who looks on while twins of a model are called, at what came, what became of the state
//! and what was sent.
//!
//! Nobody does most of the time. That costs a load of an atomic for each model and epoch, and a
//! comparison for each twin.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use twinflow_connectors::message::{Format, Timestamp};

/// What the messages of one epoch did to one twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TappedCall {
    /// The twin's id.
    pub twin: String,
    /// The epoch; it is processed, and not yet committed.
    pub epoch: u64,
    /// The epoch's time (law P6).
    pub at: Timestamp,
    /// Calls of the processor, those that failed too.
    pub calls: u64,
    /// What came, in order.
    pub messages: Vec<TappedMessage>,
    /// The state before as JSON; `None`: the twin was not there.
    pub before: Option<Vec<u8>>,
    /// The state after; `None`: the twin is not there any more.
    pub after: Option<Vec<u8>>,
    /// What was sent to the data source, in order.
    pub feedback: Vec<Vec<u8>>,
}

/// One of its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TappedMessage {
    /// The connection that brought it.
    pub connection: String,
    /// When its link took it.
    pub received_at: Timestamp,
    /// How the payload is meant.
    pub format: Format,
    /// The payload.
    pub payload: Vec<u8>,
    /// Why it was not applied, if it was not.
    pub failed: Option<String>,
}

impl TappedCall {
    /// Bytes that it takes, roughly.
    pub fn bytes(&self) -> usize {
        let messages = self.messages.iter();
        let states = [&self.before, &self.after].into_iter().flatten().map(Vec::len);
        let feedback = self.feedback.iter().map(Vec::len);
        let texts: usize = states.chain(feedback).sum();
        let payloads: usize =
            messages.map(|it| size_of::<TappedMessage>() + it.payload.len()).sum();
        size_of::<Self>() + self.twin.len() + texts + payloads
    }
}

/// Taps at the same time: each takes time of the workers.
pub const TAPS_MAX: usize = 64;

/// Called by a worker in the middle of an epoch: it keeps or drops what it gets, and never waits.
pub type Tell = dyn Fn(TappedCall) + Send + Sync;

/// One who looks on.
pub struct Tap {
    model: u16,
    twin: Option<String>,
    tell: Box<Tell>,
}

impl Tap {
    /// A tap on one twin of a model, or on all of them.
    pub fn new(
        model: u16,
        twin: Option<&str>,
        tell: impl Fn(TappedCall) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { model, twin: twin.map(str::to_owned), tell: Box::new(tell) })
    }

    pub(crate) fn is_on(&self, twin: &str) -> bool {
        self.twin.as_deref().is_none_or(|wanted| wanted == twin)
    }

    pub(crate) fn tell(&self, call: TappedCall) {
        (self.tell)(call);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("model", &self.model).finish_non_exhaustive()
    }
}

/// The taps of a process.
#[derive(Debug, Default)]
pub struct Taps {
    some: AtomicBool,
    taps: Mutex<Vec<Arc<Tap>>>,
}

impl Taps {
    fn taps(&self) -> MutexGuard<'_, Vec<Arc<Tap>>> {
        self.taps.lock().expect("only pushed and removed")
    }

    /// Tells from the next epoch on; `false` when there are [`TAPS_MAX`] already.
    pub fn open(&self, tap: Arc<Tap>) -> bool {
        let mut taps = self.taps();
        if taps.len() == TAPS_MAX {
            return false;
        }
        taps.push(tap);
        self.some.store(true, Ordering::Release);
        true
    }

    /// Tells no more.
    pub fn close(&self, tap: &Arc<Tap>) {
        let mut taps = self.taps();
        taps.retain(|open| !Arc::ptr_eq(open, tap));
        self.some.store(!taps.is_empty(), Ordering::Release);
    }

    /// Those on a model.
    pub(crate) fn of(&self, model: u16) -> Vec<Arc<Tap>> {
        if !self.some.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.taps().iter().filter(|tap| tap.model == model).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_is_found_by_its_model_until_it_is_closed() {
        let taps = Taps::default();
        let (one, all) = (Tap::new(3, Some("a"), drop), Tap::new(3, None, drop));
        assert!(taps.open(Arc::clone(&one)) && taps.open(Arc::clone(&all)));
        assert_eq!((taps.of(3).len(), taps.of(2).len()), (2, 0));
        assert!(one.is_on("a") && !one.is_on("b") && all.is_on("b"));
        taps.close(&one);
        assert!(Arc::ptr_eq(&taps.of(3)[0], &all));
        taps.close(&all);
        assert!(taps.of(3).is_empty() && !taps.some.load(Ordering::Acquire));
        assert!((0..TAPS_MAX).all(|_| taps.open(Arc::clone(&one))));
        assert!(!taps.open(all), "so many and no more");
    }
}
