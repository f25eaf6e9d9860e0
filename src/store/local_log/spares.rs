//! Files for the next segments: old segments, and new ones that a helper thread has filled with
//! zeros. To write over blocks that a file has already costs half the sync of one that grows.
//!
//! Each is as long as a segment. What it holds means nothing. A segment is made of it by a new
//! header, and only when that is durable does the file get the segment's name.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::disk::{Access, Disk};
use super::format::{BLOCK, block_end};
use crate::fail_points;

/// Spares that the helper sees to when the log needs more of them than it gives back.
const READY: usize = 2;

/// A spare that is being made.
pub(super) const SPARE_NEW: &str = "spare.new";

/// Zeros are written in pieces of this length.
const PIECE: u64 = 1 << 20;

/// The number of a spare, by its name.
pub(super) fn spare_number(name: &str) -> Option<u64> {
    name.strip_prefix("spare-")?.parse().ok()
}

/// Name of a spare.
pub(super) fn spare_name(number: u64) -> String {
    format!("spare-{number:010}")
}

/// Makes a spare: as long as a segment, all of it allocated.
pub(super) fn make(disk: &dyn Disk, number: u64, bytes: u64) -> io::Result<()> {
    // Through the system's cache, zeros take as much of a core as the log that will replace them.
    fill(disk, Access::CreateUncached, bytes)
        .or_else(|error| match error.kind() {
            io::ErrorKind::InvalidInput => fill(disk, Access::Create, bytes),
            _ => Err(error),
        })
        .and_then(|()| disk.rename(SPARE_NEW, &spare_name(number)))?;
    fail_points::pass("spare-made");
    Ok(())
}

fn fill(disk: &dyn Disk, access: Access, bytes: u64) -> io::Result<()> {
    let file = disk.open(SPARE_NEW, access)?;
    // Uncached writes want whole blocks, in memory too.
    let zeros = vec![0; (PIECE + BLOCK) as usize];
    let zeros = &zeros[zeros.as_ptr().align_offset(BLOCK as usize)..];
    let end = block_end(bytes);
    for at in (0..end).step_by(PIECE as usize) {
        file.write_at(at, &zeros[..PIECE.min(end - at) as usize])?;
    }
    file.sync()?;
    fail_points::pass("spare-written");
    Ok(())
}

/// The spares of a log.
#[derive(Default)]
pub(super) struct Spares {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<u64>,
    next: u64,
    wanted: bool,
    stopped: bool,
}

impl Spares {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with the spares that were found.
    pub(super) fn begin(&self, found: &[u64]) {
        let mut state = self.state();
        state.next = found.iter().max().map_or(1, |newest| newest + 1);
        state.ready = found.iter().copied().collect();
    }

    /// How many are ready.
    pub(super) fn count(&self) -> u64 {
        self.state().ready.len() as u64
    }

    /// Takes one.
    pub(super) fn take(&self) -> Option<u64> {
        self.state().ready.pop_front()
    }

    /// A number for a new one.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.state();
        state.next += 1;
        state.next - 1
    }

    /// Adds one.
    pub(super) fn put(&self, number: u64) {
        self.state().ready.push_back(number);
    }

    /// The log will need one soon: wakes the helper if there are too few.
    pub(super) fn want(&self) {
        let mut state = self.state();
        if state.ready.len() < READY && !state.wanted {
            state.wanted = true;
            self.wanted.notify_one();
        }
    }

    /// Ends the helper.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.wanted.notify_one();
    }

    /// Waits until spares are wanted; `false` when that is never again.
    fn wait(&self) -> bool {
        let mut state = self.state();
        while !state.wanted && !state.stopped {
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }

    /// Starts the helper. Where it fails nobody is told: the log makes its segment itself then, and
    /// fails if that fails.
    pub(super) fn spawn(
        self: Arc<Self>,
        disk: Arc<dyn Disk>,
        bytes: u64,
    ) -> io::Result<JoinHandle<()>> {
        Builder::new().name("twinflow:log-spares".into()).spawn(move || {
            while self.wait() {
                while self.count() < READY as u64 && !self.state().stopped {
                    let number = self.number();
                    if let Err(error) = make(&*disk, number, bytes) {
                        tracing::debug!(%error, "could not make a spare segment");
                        break;
                    }
                    self.put(number);
                }
                self.state().wanted = false;
            }
        })
    }
}
