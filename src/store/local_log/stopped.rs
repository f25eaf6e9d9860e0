//! The log of an engine that does not run, read without changing anything.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use twinflow_operators::store::{Piece, Reading, StoreError};

use super::dead_letters::Index;
use super::disk::{Directory, Disk};
use super::disk_bytes;
use super::format::{FrameKind, VERSION};
use super::marker::{self, Known};
use super::replay::{self, Found, Visit};
use super::segment::segment_name;

/// A log that nobody writes while this is held.
pub(crate) struct StoppedLog {
    disk: Arc<Directory>,
    known: Known,
    index: Index,
    _lock: Option<File>,
}

/// What a log says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSummary {
    /// Version of the format.
    pub(crate) version: u32,
    /// Identity of the log.
    pub(crate) log_id: u64,
    /// Last generation.
    pub(crate) generation: u64,
    /// Last epoch that counts.
    pub(crate) epoch: u64,
    /// Number of the last frame.
    pub(crate) sequence: u64,
    /// Number of the first segment that is needed, and of the last one.
    pub(crate) segments: Option<(u64, u64)>,
    /// Bytes in these segments that mean something.
    pub(crate) log_bytes: u64,
    /// Bytes of all files, spares too.
    pub(crate) disk_bytes: u64,
    /// Whether the last frame is a seal: everything was durable when the engine stopped.
    pub(crate) is_sealed: bool,
    /// Segment and offset of a write that was cut off; nobody was told that it is durable.
    pub(crate) cut_off: Option<(String, u64)>,
}

impl StoppedLog {
    /// Takes a state directory that exists, to read it.
    ///
    /// # Errors
    ///
    /// `Refused` if the directory is in use, not ours or of a newer version; `Corrupt` if its
    /// marker is damaged; or the operating system's.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        if !directory.exists() {
            let place = directory.display();
            let why = format!("there is no state directory \"{place}\"");
            return Err(StoreError::Refused { why });
        }
        let disk = Arc::new(Directory::new(directory));
        let locked = disk.lock_to_read();
        let lock = locked.map_err(|error| marker::lock_error(&disk.place(), error))?;
        let known = marker::of(&*disk)?;
        Ok(Self { disk, known, index: Index::default(), _lock: lock })
    }

    /// Gives everything that counts, the newest first; every check of every frame is made.
    ///
    /// # Errors
    ///
    /// `Corrupt` with the place, or the operating system's.
    pub(crate) fn replay(
        &self,
        reading: &Reading,
        each: &mut dyn FnMut(&Piece),
    ) -> Result<LogSummary, StoreError> {
        let visit = Visit::NewestFirst(1, reading, each);
        let found = replay::replay(&*self.disk, self.known, &self.index, None, visit)?;
        Ok(self.summary(&found))
    }

    fn summary(&self, found: &Found) -> LogSummary {
        let tail = found.tail.as_ref();
        let last = tail.and_then(|tail| tail.last.as_ref());
        LogSummary {
            version: VERSION,
            log_id: self.known.log_id,
            generation: found.history.generation,
            epoch: found.history.epoch,
            sequence: found.history.sequence,
            segments: tail.map(|tail| (tail.header.first_segment, tail.header.number)),
            log_bytes: found.log_bytes,
            disk_bytes: disk_bytes(&*self.disk),
            is_sealed: last.is_none_or(|last| last.head.kind == FrameKind::Seal),
            cut_off: found.cut_off.map(|(segment, at)| (segment_name(segment), at)),
        }
    }

    /// Payload of a dead letter that [`Self::replay`] gave; its check is made.
    ///
    /// # Errors
    ///
    /// `Corrupt`, or the operating system's.
    pub(crate) fn dead_letter_payload(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.index.payload(&*self.disk, number)
    }
}

impl std::fmt::Debug for StoppedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoppedLog").field("place", &self.disk.place()).finish_non_exhaustive()
    }
}
