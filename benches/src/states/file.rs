//! The floor: as many bytes written over those of a file, and one sync.
//!
//! Estimate: copying 300 bytes 20 ns, and a sync of 0.2-1 ms a wait.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use super::Measured;
use super::cell::Cell;
use crate::Result;

/// Bytes of the file: as large as a segment of the log.
const FILE: u64 = 64 << 20;

/// Writes the changed states one behind the other, from the beginning again at the file's end.
pub(super) fn measure(cell: &Cell<'_>) -> Result<Measured> {
    let dir = cell.directory()?;
    let mut file = File::create(dir.path().join("plain"))?;
    let bytes = vec![b'x'; usize::try_from(cell.changed * cell.state_bytes)?];
    let room = FILE.max(bytes.len() as u64);
    file.write_all(&vec![0; usize::try_from(room)?])?;
    file.sync_all()?;
    let mut at = 0;
    cell.repeat(|_| {
        if at + bytes.len() as u64 > room {
            at = 0;
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&bytes)?;
        at += bytes.len() as u64;
        Ok(file.sync_data()?)
    })
}
