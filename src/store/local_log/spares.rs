//! Files for the next segments: old segments, and new ones that a helper thread has filled with
//! zeros. To write over blocks that a file has already costs half the sync of one that grows.
//!
//! Each is as long as a segment. What it holds means nothing. A segment is made of it by a new
//! header, and only when that is durable does the file get the segment's name.
//!
//! A spare is of one generation. Those that a start finds are removed: whoever made them may still
//! have them open, and would write to a segment that is made of them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use twinflow_operators::store::StoreError;

use super::claim::remove;
use super::disk::{Access, Disk};
use super::error::disk_error;
use super::format::{BLOCK, block_end};
use crate::fail_points;

/// Spares that the helper sees to when the log needs more of them than it gives back.
const READY: usize = 2;

/// How long after a start what earlier ones left behind stays, unless spares are wanted before.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Zeros are written in pieces of this length.
const PIECE: u64 = 1 << 20;

/// Who is told that the log cannot go on.
type OnFailure = Arc<dyn Fn(StoreError) + Send + Sync>;

/// Whether it is a spare, or one that is being made.
pub(super) fn is_spare(name: &str) -> bool {
    name.starts_with("spare-") || name == "spare.new"
}

/// A spare, by its number among those of its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spare {
    generation: u64,
    number: u64,
}

impl Spare {
    /// Its name.
    pub(super) fn name(self) -> String {
        format!("spare-{:010}-{}", self.number, self.generation)
    }

    /// Its name while it is being made.
    fn new_name(self) -> String {
        format!("{}.new", self.name())
    }
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
fn make(disk: &dyn Disk, spare: Spare, bytes: u64) -> Result<(), Unmade> {
    let new = spare.new_name();
    // Through the system's cache, zeros take as much of a core as the log that will replace them.
    fill(disk, &new, Access::CreateUncached, bytes).or_else(|unmade| match unmade {
        Unmade::Not(error) if error.kind() == io::ErrorKind::InvalidInput => {
            fill(disk, &new, Access::Create, bytes)
        }
        unmade => Err(unmade),
    })?;
    disk.rename(&new, &spare.name()).map_err(Unmade::Not)?;
    fail_points::pass("spare-made");
    Ok(())
}

fn fill(disk: &dyn Disk, new: &str, access: Access, bytes: u64) -> Result<(), Unmade> {
    let file = disk.open(new, access).map_err(Unmade::Not)?;
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

/// What no start needs to wait for. One that stays is removed by the next start.
fn clear_away(disk: &dyn Disk, name: &str) {
    if let Err(error) = remove(disk, name) {
        tracing::warn!(name, %error, "could not remove what an earlier start left behind");
    }
    fail_points::pass("leftovers-removed");
}

/// The spares of a log.
#[derive(Default)]
pub(super) struct Spares {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Spare>,
    generation: u64,
    made: u64,
    wanted: bool,
    stopped: bool,
}

impl Spares {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a generation, without any.
    pub(super) fn begin(&self, generation: u64) {
        self.state().generation = generation;
    }

    /// How many are ready.
    pub(super) fn count(&self) -> u64 {
        self.state().ready.len() as u64
    }

    /// Takes one.
    pub(super) fn take(&self) -> Option<Spare> {
        self.state().ready.pop_front()
    }

    /// A new one, of which there is no file yet.
    pub(super) fn fresh(&self) -> Spare {
        let mut state = self.state();
        state.made += 1;
        Spare { generation: state.generation, number: state.made }
    }

    /// Adds one.
    pub(super) fn put(&self, spare: Spare) {
        self.state().ready.push_back(spare);
    }

    /// The log will need one soon: wakes the helper if there are too few.
    pub(super) fn want(&self) {
        let mut state = self.state();
        if state.ready.len() < READY && !state.wanted {
            state.wanted = true;
            self.wanted.notify_one();
        }
    }

    fn is_wanted(&self) -> bool {
        let state = self.state();
        state.wanted && !state.stopped
    }

    /// Ends the helper.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.wanted.notify_one();
    }

    /// Waits until spares are wanted, or this time is over; `false` when nothing is wanted ever
    /// again.
    fn wait(&self, limit: Duration) -> bool {
        let idle = |state: &mut State| !state.wanted && !state.stopped;
        let woken = self.wanted.wait_timeout_while(self.state(), limit, idle);
        !woken.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    /// Starts the helper. It first waits a while and removes `leftovers`: a start has other things
    /// to do. A sync that fails is told to `on_failure`, and ends it.
    pub(super) fn spawn(
        self: Arc<Self>,
        disk: Arc<dyn Disk>,
        bytes: u64,
        leftovers: Vec<String>,
        on_failure: OnFailure,
    ) -> io::Result<JoinHandle<()>> {
        Builder::new().name("twinflow:log-spares".into()).spawn(move || {
            let mut leftovers = leftovers;
            while self.wait(if leftovers.is_empty() { Duration::MAX } else { LEFT_ALONE }) {
                leftovers.drain(..).for_each(|name| clear_away(&*disk, &name));
                while self.is_wanted() && self.count() < READY as u64 {
                    let spare = self.fresh();
                    match make(&*disk, spare, bytes) {
                        Ok(()) => self.put(spare),
                        Err(Unmade::Not(error)) => {
                            tracing::debug!(%error, "could not make a spare segment");
                            break;
                        }
                        Err(Unmade::Sync(cause)) => {
                            let name = spare.new_name();
                            return on_failure(disk_error(format!("sync \"{name}\""), cause));
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
        spares.begin(7);
        let on_failure: OnFailure =
            Arc::new(move |error: StoreError| failure.send(error.to_string()).unwrap());
        spares.want();
        let disk = Arc::new(disk.clone());
        let helper = Arc::clone(&spares).spawn(disk, 8192, Vec::new(), on_failure).unwrap();
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
        let said = said.unwrap_or_default();
        assert!(said.contains("\"spare-0000000002-7.new\"") && made == 1, "{said}");
        disk.resize(1);
        assert_eq!(helped(&disk), (None, 0));
    }
}
