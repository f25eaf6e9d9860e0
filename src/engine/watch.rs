//! Notices calls that take long and workers that do not get on (law F4).
//!
//! It counts its own looks and no time: a process or a machine that was stopped for a while has
//! looked no oftener than its workers have worked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use twinflow_operators::activity::Seen;

use super::{failure, start::Parts};
use crate::error::{Error, ErrorKind, Result};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks without a new beat at which a call is said to take long: one second (laws.md, Numbers).
const LONG_LOOKS: u64 = 4;

/// The thread; dropped, it ends.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the workers of an engine that has begun to work.
    pub(super) fn start(parts: &Arc<Parts>) -> Result<Self> {
        let (stop, parts) = (Arc::<AtomicBool>::default(), Arc::clone(parts));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("twinflow:watch".into())
            .spawn(move || watch(&parts, &stopped))
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "could not start the watcher").because(error)
            })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

fn watch(parts: &Parts, stop: &AtomicBool) {
    let stall_looks = parts.stall_secs.max(1) * 1000 / LOOK_EVERY.as_millis() as u64;
    let mut watched: Vec<_> = parts.controls.iter().map(|_| Watched::default()).collect();
    while !stop.load(Ordering::Acquire) {
        std::thread::park_timeout(LOOK_EVERY);
        let mut stalled = None;
        for (worker, (control, watched)) in parts.controls.iter().zip(&mut watched).enumerate() {
            let seen = control.activity.look();
            match watched.look(seen.beat, stall_looks) {
                Finding::GetsOn => {}
                Finding::Long => {
                    if let Some((model, twin)) = named(parts, &seen) {
                        parts.slow_calls.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(worker, model, twin, "a call takes longer than a second");
                    }
                }
                // Another one may only wait for the worker that is in a call.
                Finding::Stalled if seen.twin.is_none() && stalled.is_some() => {}
                Finding::Stalled => stalled = Some((worker, named(parts, &seen))),
            }
        }
        if let Some((worker, twin)) = stalled {
            failure::stalled(worker, twin, parts.stall_secs);
        }
    }
}

fn named(parts: &Parts, seen: &Seen) -> Option<(String, String)> {
    let (model, twin) = seen.twin.as_ref()?;
    Some((parts.edge.models.name(*model).unwrap_or_default().to_owned(), twin.clone()))
}

/// What is known of one worker.
#[derive(Debug, Default)]
struct Watched {
    beat: u64,
    /// Looks at the same beat.
    looks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    GetsOn,
    /// Said once for each call.
    Long,
    Stalled,
}

impl Watched {
    fn look(&mut self, beat: u64, stall_looks: u64) -> Finding {
        // A worker that has ended rests at its last beat; whoever joins it ends this watch.
        if beat != self.beat {
            *self = Self { beat, looks: 0 };
            return Finding::GetsOn;
        }
        self.looks += 1;
        match self.looks {
            looks if looks >= stall_looks => Finding::Stalled,
            LONG_LOOKS => Finding::Long,
            _ => Finding::GetsOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_f4_a_call_is_long_once_and_stalled_in_the_end() {
        let mut watched = Watched::default();
        let found: Vec<_> = [7; 13].map(|beat| watched.look(beat, 12)).into();
        assert_eq!(found[4], Finding::Long);
        assert_eq!(found[12], Finding::Stalled);
        assert_eq!(found.iter().filter(|found| **found != Finding::GetsOn).count(), 2);
        assert_eq!(watched.look(8, 12), Finding::GetsOn);
        assert_eq!(watched.look(8, 12), Finding::GetsOn);
    }
}
