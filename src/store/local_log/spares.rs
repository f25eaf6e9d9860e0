//! Files for the next segments: old segments, and new ones that a helper thread has filled with
//! zeros. To write over blocks that a file has already costs half the sync of one that grows.
//!
//! Each is as long as a segment. What it holds means nothing. A segment is made of it by a new
//! header, and only when that is durable does the file get the segment's name.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use twinflow_operators::store::StoreError;

use super::disk::{Access, Disk};
use super::error::disk_error;
use super::format::{BLOCK, block_end};
use crate::fail_points;

/// Spares that the helper sees to when the log needs more of them than it gives back.
const READY: usize = 2;

/// A spare that is being made.
pub(super) const SPARE_NEW: &str = "spare.new";

/// Zeros are written in pieces of this length.
const PIECE: u64 = 1 << 20;

/// Who is told that the log cannot go on.
type OnFailure = Arc<dyn Fn(StoreError) + Send + Sync>;

/// The number of a spare, by its name.
pub(super) fn spare_number(name: &str) -> Option<u64> {
    name.strip_prefix("spare-")?.parse().ok()
}

/// Name of a spare.
pub(super) fn spare_name(number: u64) -> String {
    format!("spare-{number:010}")
}

/// Why there is no new spare.
#[derive(Debug)]
enum Unmade {
    /// No room, say: the log makes its segment itself then, and fails if that fails.
    Not(io::Error),
    /// A failed sync ends the process, whatever it was for (law D11).
    Sync(io::Error),
}

/// Makes a spare: as long as a segment, all of it allocated.
fn make(disk: &dyn Disk, number: u64, bytes: u64) -> Result<(), Unmade> {
    // Through the system's cache, zeros take as much of a core as the log that will replace them.
    fill(disk, Access::CreateUncached, bytes).or_else(|unmade| match unmade {
        Unmade::Not(error) if error.kind() == io::ErrorKind::InvalidInput => {
            fill(disk, Access::Create, bytes)
        }
        unmade => Err(unmade),
    })?;
    disk.rename(SPARE_NEW, &spare_name(number)).map_err(Unmade::Not)?;
    fail_points::pass("spare-made");
    Ok(())
}

fn fill(disk: &dyn Disk, access: Access, bytes: u64) -> Result<(), Unmade> {
    let file = disk.open(SPARE_NEW, access).map_err(Unmade::Not)?;
    // Uncached writes want whole blocks, in memory too.
    let zeros = vec![0; (PIECE + BLOCK) as usize];
    let zeros = &zeros[zeros.as_ptr().align_offset(BLOCK as usize)..];
    let end = block_end(bytes);
    for at in (0..end).step_by(PIECE as usize) {
        let piece = &zeros[..PIECE.min(end - at) as usize];
        file.write_at(at, piece).map_err(Unmade::Not)?;
    }
    file.sync().map_err(Unmade::Sync)?;
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

    /// Starts the helper. A sync that fails is told to `on_failure`, and ends it.
    pub(super) fn spawn(
        self: Arc<Self>,
        disk: Arc<dyn Disk>,
        bytes: u64,
        on_failure: OnFailure,
    ) -> io::Result<JoinHandle<()>> {
        Builder::new().name("twinflow:log-spares".into()).spawn(move || {
            while self.wait() {
                while self.count() < READY as u64 && !self.state().stopped {
                    let number = self.number();
                    match make(&*disk, number, bytes) {
                        Ok(()) => self.put(number),
                        Err(Unmade::Not(error)) => {
                            tracing::debug!(%error, "could not make a spare segment");
                            break;
                        }
                        Err(Unmade::Sync(cause)) => {
                            return on_failure(disk_error(format!("sync \"{SPARE_NEW}\""), cause));
                        }
                    }
                }
                self.state().wanted = false;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::super::simulated::SimDisk;
    use super::*;

    /// What the helper says of its first spares on this disk, and how many it made.
    fn helped(disk: &SimDisk) -> (Option<String>, u64) {
        let (spares, (failure, failures)) = (Arc::<Spares>::default(), sync_channel(4));
        spares.begin(&[]);
        let on_failure: OnFailure =
            Arc::new(move |error: StoreError| failure.send(error.to_string()).unwrap());
        spares.want();
        let disk = Arc::new(disk.clone());
        let helper = Arc::clone(&spares).spawn(disk, 8192, on_failure).unwrap();
        while spares.state().wanted && !helper.is_finished() {
            std::thread::yield_now();
        }
        spares.stop();
        helper.join().unwrap();
        (failures.try_recv().ok(), spares.count())
    }

    #[test]
    fn law_d11_a_failed_sync_of_a_spare_is_told_and_a_full_disk_is_not() {
        let disk = SimDisk::default();
        assert_eq!(helped(&disk), (None, 2));
        disk.fail_sync_after(1);
        let (said, made) = helped(&disk);
        assert!(said.is_some_and(|said| said.contains("spare.new")) && made == 1);
        disk.resize(1);
        assert_eq!(helped(&disk), (None, 0));
    }
}
