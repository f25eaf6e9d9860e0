//! A disk that keeps only what was synced, and a random half of the rest, over a power cut.
//!
//! It counts steps: writes, syncs, changes of names, and whatever else a simulation calls a step,
//! so that the power can go in the middle of each of them.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Access, Disk, DiskFile, Free, Identity, LockError};
use super::paused::Process;
use super::writer::mix;

const SECTOR: usize = 512;

/// Numbers that a seed decides.
#[derive(Clone, Debug, Default)]
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to `limit` - 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % limit
    }
}

/// The disk; clones are the same one, as one process has it.
#[derive(Clone, Default)]
pub struct SimDisk {
    sim: Arc<Mutex<Sim>>,
    process: Arc<Process>,
}

impl From<Sim> for SimDisk {
    fn from(sim: Sim) -> Self {
        Self { sim: Arc::new(Mutex::new(sim)), process: Arc::default() }
    }
}

#[derive(Default)]
struct Sim {
    inodes: Vec<Inode>,
    /// What a process sees.
    names: BTreeMap<String, usize>,
    /// What a power cut may leave: the synced names, then those after each later change.
    names_left: Vec<BTreeMap<String, usize>>,
    /// Writes, syncs and changes of names until the power goes.
    until_cut: Option<u64>,
    /// Syncs until one fails.
    until_sync_fails: Option<u64>,
    /// Whether the power is off; asked for without the lock.
    cut: Arc<AtomicBool>,
    /// Steps so far, and the one in which the power went.
    steps: u64,
    cut_in: Option<&'static str>,
    /// Sectors that were not synced and survived or did not, over all power cuts.
    kept: u64,
    lost: u64,
    segments_made: u64,
    /// Called when the power goes.
    on_cut: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Bytes that fit on it; 0: any number.
    size: u64,
    log: Vec<String>,
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

impl Sim {
    fn step(&mut self, what: &'static str) -> io::Result<()> {
        let is_cut = self.cut.load(Ordering::SeqCst);
        self.steps += u64::from(!is_cut);
        match &mut self.until_cut {
            _ if is_cut => Err(no_power()),
            Some(0) => {
                self.cut_in = Some(what);
                self.cut.store(true, Ordering::SeqCst);
                if let Some(called) = &self.on_cut {
                    called();
                }
                Err(no_power())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sync_step(&mut self, what: &'static str) -> io::Result<bool> {
        self.step(what)?;
        match &mut self.until_sync_fails {
            Some(0) => {
                self.until_sync_fails = None;
                Ok(false)
            }
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(true),
        }
    }

    fn change_names(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<String, usize>),
    ) -> io::Result<()> {
        if self.names_left.is_empty() {
            self.names_left.push(self.names.clone());
        }
        change(&mut self.names);
        self.names_left.push(self.names.clone());
        self.step("change of a name")
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        self.change_names(|names| {
            names.remove(from);
            names.insert(to.into(), inode);
        })
    }
}

impl SimDisk {
    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happens beside the disk in which the power can go; whether it is still there.
    pub fn step(&self, what: &'static str) -> bool {
        self.process.pass().is_ok() && self.sim().step(what).is_ok()
    }

    /// The same of something that happens outside of the process.
    pub fn step_outside(&self, what: &'static str) -> bool {
        self.sim().step(what).is_ok()
    }

    /// The same disk as another process has it.
    pub fn of_another_process(&self) -> Self {
        Self { sim: Arc::clone(&self.sim), process: Arc::default() }
    }

    /// The process that has the disk as this.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// How many steps there were, and the one in which the power went.
    pub fn steps(&self) -> (u64, Option<&'static str>) {
        let sim = self.sim();
        (sim.steps, sim.cut_in)
    }

    /// Sectors that were written, not synced, and there after a power cut; and those that were not.
    pub fn kept_and_lost(&self) -> (u64, u64) {
        let sim = self.sim();
        (sim.kept, sim.lost)
    }

    /// Whether the power is off, for whoever holds a lock that `on_cut` takes.
    pub fn cut_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.sim().cut)
    }

    /// What is called when the power goes; it must not use the disk.
    pub fn on_cut(&self, called: Arc<dyn Fn() + Send + Sync>) {
        self.sim().on_cut = Some(called);
    }

    /// The process was killed and the machine was not: everything that was written is seen still.
    pub fn killed(&self) {
        let mut sim = self.sim();
        (sim.until_cut, sim.cut_in) = (None, None);
        sim.cut.store(false, Ordering::SeqCst);
    }

    /// The power goes after this many steps, in the middle of the next.
    pub fn cut_after(&self, steps: u64) {
        self.sim().until_cut = Some(steps);
    }

    /// A sync fails after this many, and the pages it should have written count as clean.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.sim().until_sync_fails = Some(syncs);
    }

    /// How many files for segments were ever made.
    pub fn segments_made(&self) -> u64 {
        self.sim().segments_made
    }

    /// No more than this many bytes fit on it.
    pub fn resize(&self, size: u64) {
        self.sim().size = size;
    }

    /// Whether the power is off.
    pub fn is_cut(&self) -> bool {
        self.sim().cut.load(Ordering::SeqCst)
    }

    /// What is there when the power is back.
    pub fn power_cut(&self, random: &mut Random) -> Self {
        let old = self.sim();
        let mut names = old.names.clone();
        if !old.names_left.is_empty() {
            names = old.names_left[random.below(old.names_left.len() as u64) as usize].clone();
        }
        let (mut kept, mut lost) = (old.kept, old.lost);
        let mut survivor = |inode: &Inode| inode.survivor(random, &mut kept, &mut lost);
        let inodes = old.inodes.iter().map(&mut survivor).collect();
        let sim = Sim { inodes, names, kept, lost, ..Sim::default() };
        sim.into()
    }

    /// The bytes of a file as a process sees them.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let sim = self.sim();
        sim.inodes[sim.names[name]].seen.clone()
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut sim = self.sim();
        let inode = Inode { seen: bytes.to_vec(), durable: bytes.to_vec(), dirty: BTreeSet::new() };
        sim.inodes.push(inode);
        let number = sim.inodes.len() - 1;
        sim.names.insert(name.into(), number);
    }

    /// Takes a file away, durably.
    ///
    /// # Panics
    ///
    /// If it is not there.
    pub fn delete(&self, name: &str) {
        let gone = self.sim().names.remove(name);
        assert!(gone.is_some(), "there is no {name}");
    }

    /// An independent copy.
    pub fn copy(&self) -> Self {
        let old = self.sim();
        let (inodes, names) = (old.inodes.clone(), old.names.clone());
        Sim { inodes, names, ..Sim::default() }.into()
    }

    /// Names of the segments, in order.
    pub fn segments(&self) -> Vec<String> {
        let is_segment = |name: &&String| name.ends_with(".log");
        self.sim().names.keys().filter(is_segment).cloned().collect()
    }

    /// What was done, one word a step, since the last call.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.sim().log)
    }
}

impl Inode {
    fn survivor(&self, random: &mut Random, kept: &mut u64, lost: &mut u64) -> Self {
        let mut bytes = self.durable.clone();
        // A write is torn at sectors of 512 bytes, or only at those of 4,096.
        let sectors = if random.below(2) == 0 { 1 } else { 4096 / SECTOR };
        let (mut piece, mut survives) = (usize::MAX, false);
        for sector in &self.dirty {
            if sector / sectors != piece {
                (piece, survives) = (sector / sectors, random.below(2) == 0);
            }
            *(if survives { &mut *kept } else { &mut *lost }) += 1;
            if survives {
                let from = sector * SECTOR;
                let to = (from + SECTOR).min(self.seen.len());
                bytes.resize(bytes.len().max(to), 0);
                bytes[from..to].copy_from_slice(&self.seen[from..to]);
            }
        }
        if random.below(2) == 0 && !self.dirty.is_empty() {
            bytes.resize(bytes.len().max(self.seen.len()), 0);
        }
        Self { seen: bytes.clone(), durable: bytes, dirty: BTreeSet::new() }
    }
}

impl Disk for SimDisk {
    fn place(&self) -> String {
        "simulated".into()
    }

    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        Ok(Box::new(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.process.pass()?;
        Ok(self.sim().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.process.pass()?;
        let mut sim = self.sim();
        let inode = match sim.names.get(name) {
            Some(_) if access == Access::New => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(inode) if !creates(access) => *inode,
            None if !creates(access) => return Err(io::ErrorKind::NotFound.into()),
            _ => {
                sim.inodes.push(Inode::default());
                let is_segment = ["segment", "spare"].iter().any(|it| name.starts_with(it));
                sim.segments_made += u64::from(is_segment);
                let inode = sim.inodes.len() - 1;
                sim.change_names(|names| {
                    names.insert(name.into(), inode);
                })?;
                inode
            }
        };
        drop(sim);
        Ok(Box::new(SimFile { disk: self.clone(), inode, name: name.into() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.process.pass()?;
        self.sim().rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.process.pass()?;
        let mut sim = self.sim();
        match sim.names.contains_key(to) {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => sim.rename(from, to),
        }
    }

    fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        self.process.pass()?;
        Ok(self.sim().names.get(name).map(|inode| Identity(0, *inode as u64)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.process.pass()?;
        let mut sim = self.sim();
        match sim.names.contains_key(name) {
            true => sim.change_names(|names| {
                names.remove(name);
            }),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn free(&self) -> io::Result<Free> {
        let sim = self.sim();
        let used: usize = sim.names.values().map(|inode| sim.inodes[*inode].seen.len()).sum();
        let total = if sim.size == 0 { u64::MAX / 2 } else { sim.size };
        Ok(Free { free: total.saturating_sub(used as u64), total })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.process.pass()?;
        let mut sim = self.sim();
        if !sim.sync_step("sync of names")? {
            return Err(io::Error::other("EIO"));
        }
        sim.names_left.clear();
        sim.log.push("sync names".into());
        Ok(())
    }
}

/// What is written, by the name that its file had and the place in it.
fn writes(name: &str, at: usize) -> &'static str {
    match name.split('-').next() {
        Some("segment" | "spare") if at == 0 => "write of a segment's header",
        Some("segment" | "spare") => "write of a group",
        Some("dead") => "write of a dead letter",
        _ => "write of another file",
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.sim().names.keys().cloned().collect();
        f.debug_struct("SimDisk").field("names", &names).finish_non_exhaustive()
    }
}

fn creates(access: Access) -> bool {
    matches!(access, Access::Create | Access::CreateUncached | Access::New)
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    name: String,
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.sim().inodes[self.inode].seen.len() as u64)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.disk.process.pass()?;
        let sim = self.disk.sim();
        let from = sim.inodes[self.inode].seen.get(at as usize..).unwrap_or_default();
        let from = from.get(..into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.process.pass()?;
        let mut sim = self.disk.sim();
        if sim.cut.load(Ordering::SeqCst) {
            return Err(no_power());
        }
        let (at, end) = (at as usize, at as usize + bytes.len());
        let used: usize = sim.names.values().map(|inode| sim.inodes[*inode].seen.len()).sum();
        let grows = end.saturating_sub(sim.inodes[self.inode].seen.len());
        if sim.size > 0 && (used + grows) as u64 > sim.size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = &mut sim.inodes[self.inode];
        let length = inode.seen.len().max(end);
        inode.seen.resize(length, 0);
        inode.seen[at..end].copy_from_slice(bytes);
        inode.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
        sim.log.push(format!("write {} {at}", self.name));
        sim.step(writes(&self.name, at))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.process.pass()?;
        let mut sim = self.disk.sim();
        let works = sim.sync_step("sync of a file")?;
        let inode = &mut sim.inodes[self.inode];
        inode.dirty.clear();
        if !works {
            return Err(io::Error::other("EIO"));
        }
        inode.durable = inode.seen.clone();
        sim.log.push(format!("sync {}", self.name));
        Ok(())
    }
}
