//! The file in which a careful engine notes the twin that it is about to work off (law F4).
//!
//! `length u32 | check u32 | note`, little endian, at the start of the file; length 0 is no note.
//! It has to outlive the process, not the machine: it is written and not synced.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use twinflow_operators::quarantine::{Noted, TakeNotes, TwinNote};

/// Its name in the state directory.
const NAME: &str = "careful-note";
/// Bytes before the note.
const HEAD: usize = 8;
/// More than the longest names and id need.
const NOTE_BYTES_MAX: usize = 4096;

/// The file, opened.
#[derive(Debug)]
pub(super) struct NoteFile(Mutex<File>);

/// The note in its stored form.
pub(super) fn parse(note: &[u8]) -> Option<TwinNote> {
    rmp_serde::from_slice(note).ok()
}

impl NoteFile {
    /// Opens the file of a state directory that this process has.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Self(Mutex::new(options.open(dir.join(NAME))?)))
    }

    /// The note that stands there, if one does and is whole.
    pub(super) fn read(&self) -> Option<TwinNote> {
        let file = self.file();
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).ok()?;
        let (length, check) = head.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let mut note = vec![0; Some(length).filter(|len| (1..=NOTE_BYTES_MAX).contains(len))?];
        file.read_exact_at(&mut note, HEAD as u64).ok()?;
        let whole = crc32fast::hash(&note).to_le_bytes() == check;
        whole.then(|| parse(&note)).flatten()
    }

    /// Takes away what stands there.
    pub(super) fn clear(&self) {
        clear(&self.file());
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakeNotes for NoteFile {
    fn note(&self, note: &TwinNote) -> Box<dyn Noted + '_> {
        let file = self.file();
        let note = rmp_serde::to_vec(note).expect("a note always serialises");
        let (length, check) = ((note.len() as u32).to_le_bytes(), crc32fast::hash(&note));
        let record = [&length[..], &check.to_le_bytes(), &note].concat();
        if let Err(error) = file.write_all_at(&record, 0) {
            tracing::warn!(%error, "no note could be taken; going on without");
        }
        Box::new(Standing(file))
    }
}

/// A note that stands. It holds the lock: two workers never work off a twin at the same time then,
/// so that a note names the one that the process died of.
struct Standing<'f>(MutexGuard<'f, File>);

impl Noted for Standing<'_> {}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        clear(&self.0);
    }
}

fn clear(file: &File) {
    if let Err(error) = file.write_all_at(&[0; HEAD], 0) {
        tracing::warn!(%error, "a note could not be taken away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(twin: &str) -> TwinNote {
        let position = Some(("t".to_owned(), 1, 2));
        TwinNote { model: "m".into(), twin: twin.into(), connection: "c".into(), position }
    }

    #[test]
    fn a_note_is_found_by_the_next_process_until_it_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let notes = NoteFile::open(dir.path()).unwrap();
        assert_eq!(notes.read(), None);
        for twin in ["a longer id than the next one", "b"] {
            let died = notes.note(&note(twin));
            // As a process that ends: nothing is dropped.
            let later = NoteFile::open(dir.path()).unwrap();
            assert_eq!(later.read(), Some(note(twin)));
            drop(died);
            assert_eq!(later.read(), None);
        }
    }

    #[test]
    fn a_note_that_is_not_whole_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let notes = NoteFile::open(dir.path()).unwrap();
        std::mem::forget(notes.note(&note("a")));
        let notes = NoteFile::open(dir.path()).unwrap();
        notes.file().write_all_at(b"x", 12).unwrap();
        assert_eq!(notes.read(), None);
        notes.file().write_all_at(&u32::MAX.to_le_bytes(), 0).unwrap();
        assert_eq!(notes.read(), None);
    }
}
