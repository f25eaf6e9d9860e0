//! The calls of twins as a feed, told once they are committed.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use twinflow_operators::{
    progress::Progress,
    tap::{Tap, TappedCall, Taps},
};

use super::handle::{EngineHandle, RequestError};

/// Calls that wait for one listener, and their bytes; what comes beyond is counted and dropped.
const WAITING_MAX: usize = 4096;
const WAITING_BYTES_MAX: usize = 8 << 20;

/// How often somebody looks whether an epoch is committed, or the engine is stopping.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl EngineHandle {
    /// What is done to the twins of a model, or to one of them, from now on: each call with its
    /// messages, the state before and after, and what was sent. A twin need not exist yet.
    ///
    /// While somebody listens, the states of twins that are called are written as JSON twice, on
    /// the worker's time. A listener that is slow misses calls; it never slows the engine.
    ///
    /// # Errors
    ///
    /// [`RequestError`]
    pub fn listen_to_calls(
        &self,
        model: &str,
        twin: Option<&str>,
    ) -> Result<CallListener, RequestError> {
        let number = self.model(model)?;
        if let Some(id) = twin {
            self.owner(id)?;
        }
        let (to, calls) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::<Waiting>::default();
        let waits = Arc::clone(&waiting);
        let tap = Tap::new(number, twin, move |call| {
            let bytes = call.bytes();
            let waited = waits.bytes.fetch_add(bytes, Ordering::Relaxed);
            if waited + bytes > WAITING_BYTES_MAX || to.try_send(call).is_err() {
                waits.bytes.fetch_sub(bytes, Ordering::Relaxed);
                waits.missed.fetch_add(1, Ordering::Relaxed);
            }
        });
        let taps = Arc::clone(&self.parts.taps);
        if !taps.open(Arc::clone(&tap)) {
            return Err(RequestError::TooManyListeners);
        }
        Ok(CallListener {
            calls,
            processed: None,
            waiting,
            tap,
            taps,
            progress: Arc::clone(&self.parts.progress),
            stopping: Arc::clone(&self.stopping),
        })
    }
}

/// What waits for one listener.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    missed: AtomicU64,
}

/// Hears of calls until it is dropped.
pub struct CallListener {
    calls: mpsc::Receiver<TappedCall>,
    /// The next one; its epoch may not be committed.
    processed: Option<TappedCall>,
    waiting: Arc<Waiting>,
    tap: Arc<Tap>,
    taps: Arc<Taps>,
    progress: Arc<Progress>,
    stopping: Arc<AtomicBool>,
}

impl CallListener {
    /// Waits for the next call whose epoch is committed. `None`: the engine stops, and calls of
    /// epochs that were not committed when it began to are not told.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<TappedCall> {
        loop {
            // Looked at first: what was committed by then is still told.
            let stopping = self.stopping.load(Ordering::Acquire);
            if self.processed.is_none() {
                self.processed = self.calls.try_recv().ok();
            }
            match &self.processed {
                Some(call) if call.epoch <= self.committed() => {
                    self.waiting.bytes.fetch_sub(call.bytes(), Ordering::Relaxed);
                    return self.processed.take();
                }
                _ if stopping => return None,
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
                None => {
                    let call = tokio::time::timeout(LOOK_EVERY, self.calls.recv()).await;
                    self.processed = call.unwrap_or_default();
                }
            }
        }
    }

    /// The last epoch that is committed.
    pub fn committed(&self) -> u64 {
        self.progress.committed.load(Ordering::Acquire).saturating_sub(1)
    }

    /// How many calls were missed since this was asked last, because too many waited.
    pub fn missed(&self) -> u64 {
        self.waiting.missed.swap(0, Ordering::Relaxed)
    }
}

impl Drop for CallListener {
    fn drop(&mut self) {
        self.taps.close(&self.tap);
    }
}

impl fmt::Debug for CallListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallListener").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
