//! A log that is made of an export: it counts in whole or not at all.
//!
//! Until the last entry is durable the marker of the directory has another name, so that whatever
//! a kill leaves behind is refused by every start.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use twinflow_operators::store::{EpochStore, StoreError};

use super::disk::{Access, Directory, Disk, DiskFile, Free, Identity, LOCK, LockError};
use super::error::{disk_error, open_error};
use super::history::History;
use super::marker::{MARKER, MARKER_IMPORT, refuse_used};
use super::replay::Found;
use super::{LocalLog, LogOptions};

/// A log in the making.
pub(crate) struct NewLog {
    pub(crate) log: LocalLog,
    disk: Arc<Importing>,
    /// What the directory held before.
    before: Vec<String>,
}

impl NewLog {
    /// Begins a log behind a generation and an epoch, in a directory that is new or empty.
    ///
    /// # Errors
    ///
    /// `Refused` if the directory is in use or holds anything; or the operating system's.
    pub(crate) fn begin(
        directory: &Path,
        options: LogOptions,
        (generation, epoch): (u64, u64),
    ) -> Result<Self, StoreError> {
        let disk = Arc::new(Importing(Directory::new(directory)));
        let place = disk.place();
        disk.prepare().map_err(|cause| open_error(&place, "create", cause))?;
        let before = disk.0.list().map_err(|cause| open_error(&place, "list", cause))?;
        refuse_used(&place, &before)?;
        let log = LocalLog::open_on(Arc::clone(&disk) as Arc<dyn Disk>, options)?;
        *log.found() = Some(Found::behind(History { sequence: 0, generation, epoch }));
        Ok(Self { log, disk, before })
    }

    /// Makes it count.
    ///
    /// # Errors
    ///
    /// The operating system's; then it does not count.
    pub(crate) fn publish(&self) -> Result<(), StoreError> {
        self.log.seal()?;
        let disk = &self.disk.0;
        let renamed = disk.rename(MARKER_IMPORT, MARKER).and_then(|()| disk.sync_names());
        renamed.map_err(|cause| disk_error(format!("rename \"{MARKER_IMPORT}\""), cause))
    }

    /// Takes away what was made; the directory is as it was found.
    ///
    /// # Errors
    ///
    /// The operating system's; then the directory says that an import was cut off.
    pub(crate) fn abandon(self) -> io::Result<()> {
        let Self { log, disk, mut before } = self;
        let disk = &disk.0;
        // It writes nothing more.
        log.queue.stop();
        if disk.list()?.iter().any(|name| name == MARKER) {
            disk.rename(MARKER, MARKER_IMPORT)?;
        }
        before.extend([LOCK, MARKER_IMPORT].map(str::to_owned));
        for name in disk.list()?.iter().filter(|name| !before.contains(name)) {
            disk.remove(name)?;
        }
        disk.remove(MARKER_IMPORT)?;
        disk.sync_names()
    }
}

/// A directory whose marker has another name.
struct Importing(Directory);

fn own(name: &str) -> &str {
    if name == MARKER { MARKER_IMPORT } else { name }
}

impl Disk for Importing {
    fn place(&self) -> String {
        self.0.place()
    }

    fn prepare(&self) -> io::Result<()> {
        self.0.prepare()
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        self.0.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.0.list()?;
        names.iter_mut().filter(|name| *name == MARKER_IMPORT).for_each(|it| *it = MARKER.into());
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.0.open(own(name), access)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(own(from), own(to))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename_new(own(from), own(to))
    }

    fn identity(&self, name: &str) -> io::Result<Option<Identity>> {
        self.0.identity(own(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(own(name))
    }

    fn free(&self) -> io::Result<Free> {
        self.0.free()
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }
}

impl std::fmt::Debug for NewLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewLog").field("place", &self.disk.place()).finish_non_exhaustive()
    }
}
