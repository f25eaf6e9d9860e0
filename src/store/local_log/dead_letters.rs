//! Payloads of dead letters, in files of their own (law D12).
//!
//! A frame that names a payload is written after the payload is synced. A file is never opened for
//! writing again after a restart, so nothing in it needs recovery. A file goes when everything in
//! it was dropped.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crc32fast::Hasher;
use twinflow_operators::store::{ENTRY_HEAD, Entry, EntryKind, EpochPart, StoreError, entries};

use super::super::dead_letter;
use super::claim::remove;
use super::disk::{Access, Disk, DiskFile};
use super::error::disk_error;
use super::format::block_end;
use super::mistakes::{Mistake, Mistakes};
use crate::fail_points;

/// Where a payload is, and its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: u32,
    at: u64,
    length: u32,
    check: u32,
}

/// Bytes of a place behind the description, in the frame.
const PLACE_LEN: usize = 20;

impl Place {
    pub(super) fn encode(self) -> [u8; PLACE_LEN] {
        let mut bytes = [0; PLACE_LEN];
        bytes[0..4].copy_from_slice(&self.file.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.at.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (file, bytes) = bytes.split_first_chunk::<4>()?;
        let (at, bytes) = bytes.split_first_chunk::<8>()?;
        let (length, bytes) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            file: u32::from_le_bytes(*file),
            at: u64::from_le_bytes(*at),
            length: u32::from_le_bytes(*length),
            check: u32::from_le_bytes(bytes.try_into().ok()?),
        })
    }
}

/// A dead letter is at this place now, or gone.
pub(super) type Change = (u64, Option<Place>);

/// Notes what an entry of a frame tells of dead letters; `None` if it is no entry that
/// [`DeadLetters::copy`] writes.
pub(super) fn note(entry: &Entry<'_>, changes: &mut Vec<Change>) -> Option<()> {
    match entry.kind {
        EntryKind::DeadLetter => {
            let (_, place) = dead_letter::split(entry.value)?;
            changes.push((dead_letter::number(entry.key)?, Some(Place::decode(place)?)));
        }
        EntryKind::DeadLetterDropped => changes.push((dead_letter::number(entry.key)?, None)),
        EntryKind::DeadLetterKept | EntryKind::Void => return None,
        _ => {}
    }
    Some(())
}

/// An entry of a frame as it was appended, but for the payload of a dead letter.
pub(super) fn appended(entry: Entry<'_>) -> Entry<'_> {
    let is_letter = entry.kind == EntryKind::DeadLetter;
    match dead_letter::split(entry.value).filter(|_| is_letter) {
        Some((description, _)) => Entry { value: description, ..entry },
        None => entry,
    }
}

/// Where the payloads are of all dead letters that are durable and not dropped.
#[derive(Debug, Default)]
pub(super) struct Index {
    letters: Mutex<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    places: BTreeMap<u64, Place>,
    /// Per file how many payloads in it are needed.
    files: BTreeMap<u32, usize>,
}

impl Letters {
    fn set(&mut self, number: u64, place: Option<Place>) {
        if let Some(place) = place {
            *self.files.entry(place.file).or_default() += 1;
        }
        let before = match place {
            Some(place) => self.places.insert(number, place),
            None => self.places.remove(&number),
        };
        if let Some(count) = before.and_then(|before| self.files.get_mut(&before.file)) {
            *count -= 1;
        }
    }
}

impl Index {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clear(&self) {
        *self.letters() = Letters::default();
    }

    pub(super) fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let mut letters = self.letters();
        changes.into_iter().for_each(|(number, place)| letters.set(number, place));
    }

    fn place(&self, number: u64) -> Option<Place> {
        self.letters().places.get(&number).copied()
    }

    /// Whether a file holds nothing that is needed.
    fn is_empty(&self, file: u32) -> bool {
        self.letters().files.get(&file).is_none_or(|count| *count == 0)
    }

    /// Files that hold nothing any more; they are not given again.
    fn take_empty(&self, except: Option<u32>) -> Vec<u32> {
        let mut letters = self.letters();
        let unneeded = letters.files.iter().filter(|(_, count)| **count == 0);
        let empty: Vec<u32> =
            unneeded.map(|(file, _)| *file).filter(|file| except != Some(*file)).collect();
        letters.files.retain(|file, _| !empty.contains(file));
        empty
    }

    /// Reads a payload back and checks it.
    pub(super) fn payload(
        &self,
        disk: &dyn Disk,
        number: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(place) = self.place(number) else { return Ok(None) };
        if place.length == 0 {
            return Ok(Some(Vec::new()));
        }
        let name = file_name(place.file);
        let mut payload = vec![0; place.length as usize];
        let read = disk.open(&name, Access::Read).and_then(|it| it.read_at(place.at, &mut payload));
        if read.is_err() && self.place(number).is_none() {
            // It was dropped meanwhile, and its file with it.
            return Ok(None);
        }
        read.map_err(|cause| {
            disk_error(format!("read dead letter {number} in \"{name}\""), cause)
        })?;
        if check(number, &payload) != place.check {
            return Err(StoreError::Corrupt {
                at: format!("\"{name}\" at {}", place.at),
                what: format!("the payload of dead letter {number} is not what was written"),
                last_good_epoch: 0,
            });
        }
        Ok(Some(payload))
    }
}

/// The writer of the files, on the log thread.
pub(super) struct DeadLetters {
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    file_bytes: u64,
    current: Option<Current>,
    next_file: u32,
    payloads: Vec<u8>,
    changes: Vec<Change>,
    scratch: EpochPart,
    mistakes: Mistakes,
}

struct Current {
    file: Box<dyn DiskFile>,
    number: u32,
    /// Where the payloads of this group begin.
    at: u64,
    /// Whether its name may not be durable yet.
    new: bool,
}

impl DeadLetters {
    /// A writer that begins a new file when there is something to write.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        index: Arc<Index>,
        file_bytes: u64,
        next_file: u32,
        mistakes: Mistakes,
    ) -> Self {
        Self {
            disk,
            index,
            file_bytes,
            current: None,
            next_file,
            payloads: Vec::new(),
            changes: Vec::new(),
            scratch: EpochPart::default(),
            mistakes,
        }
    }

    /// Removes the files of these that hold nothing that is needed. That need not be durable: the
    /// next start does it again.
    pub(super) fn remove_unneeded(&self, files: &[u32]) -> Result<(), StoreError> {
        files.iter().filter(|file| self.index.is_empty(**file)).try_for_each(|it| self.remove(*it))
    }

    fn remove(&self, file: u32) -> Result<(), StoreError> {
        let name = file_name(file);
        remove(&*self.disk, &name).map_err(|cause| disk_error(format!("remove \"{name}\""), cause))
    }

    /// Appends the entries of `part` to `body`, with the places of payloads instead of payloads and
    /// without what was taken back; says how many those are.
    pub(super) fn copy(&mut self, part: &EpochPart, body: &mut Vec<u8>) -> Result<u32, StoreError> {
        let bytes = part.bytes();
        if part.is_plain() {
            body.extend_from_slice(bytes);
            return Ok(part.len());
        }
        let (mut copied, mut at) = (0, 0);
        let mut written = part.len();
        for entry in entries(bytes) {
            let entry = entry.expect("a part holds whole entries");
            let end = at + ENTRY_HEAD + entry.key.len() + entry.value.len();
            if entry.kind == EntryKind::DeadLetter {
                body.extend_from_slice(&bytes[copied..at]);
                copied = end;
                self.divert(&entry, body)?;
            } else if entry.kind == EntryKind::DeadLetterDropped {
                let number = dead_letter::number(entry.key);
                self.changes.push((number.expect("its key is its number"), None));
            } else if entry.kind == EntryKind::DeadLetterKept {
                body.extend_from_slice(&bytes[copied..at]);
                copied = end;
                written -= u32::from(!self.keep(&entry, body));
            } else if entry.kind == EntryKind::Void {
                body.extend_from_slice(&bytes[copied..at]);
                copied = end;
                written -= 1;
            }
            at = end;
        }
        body.extend_from_slice(&bytes[copied..]);
        Ok(written)
    }

    /// Writes a dead letter again that a sweep found; not one that was dropped before, or that is
    /// still to come. Says whether it did.
    fn keep(&mut self, entry: &Entry<'_>, body: &mut Vec<u8>) -> bool {
        let number =
            dead_letter::number(entry.key).expect("the key of a dead letter is its number");
        let changed = self.changes.iter().rev().find(|(changed, _)| *changed == number);
        let place = match changed {
            Some((_, place)) => *place,
            None => self.index.place(number),
        };
        let forged = Place { file: 0, at: 0, length: 0, check: check(number, &[]) };
        let kept = self.mistakes.has(Mistake::DroppedLetterKept).then_some(forged);
        let Some(place) = place.or(kept) else { return false };
        self.put(entry, entry.value, place, body);
        true
    }

    fn put(&mut self, entry: &Entry<'_>, description: &[u8], place: Place, body: &mut Vec<u8>) {
        let mut scratch = EpochPart::with_buffer(std::mem::take(&mut self.scratch).into_buffer());
        let value = [description, &place.encode()].concat();
        scratch.put(EntryKind::DeadLetter, entry.bucket, entry.space, entry.key, &value);
        body.extend_from_slice(scratch.bytes());
        self.scratch = scratch;
    }

    fn divert(&mut self, entry: &Entry<'_>, body: &mut Vec<u8>) -> Result<(), StoreError> {
        let number =
            dead_letter::number(entry.key).expect("the key of a dead letter is its number");
        let (description, payload) =
            dead_letter::split(entry.value).expect("a dead letter begins with its description");
        let current = self.file()?;
        let (file, start) = (current.number, current.at);
        let place = Place {
            file,
            at: start + self.payloads.len() as u64,
            length: u32::try_from(payload.len()).expect("a payload is at most a message"),
            check: check(number, payload),
        };
        self.payloads.extend_from_slice(payload);
        self.changes.push((number, Some(place)));
        self.put(entry, description, place, body);
        Ok(())
    }

    /// The file that the payloads of this group go to.
    fn file(&mut self) -> Result<&Current, StoreError> {
        let full = self.current.as_ref().is_some_and(|current| current.at >= self.file_bytes);
        if self.current.is_none() || (full && self.payloads.is_empty()) {
            self.current = Some(self.begin()?);
        }
        Ok(self.current.as_ref().expect("it was made above"))
    }

    /// A new file; never one that another process has begun.
    fn begin(&mut self) -> Result<Current, StoreError> {
        loop {
            let number = self.next_file;
            self.next_file += 1;
            let name = file_name(number);
            match self.disk.open(&name, Access::New) {
                Ok(file) => return Ok(Current { file, number, at: 0, new: true }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(disk_error(format!("create \"{name}\""), cause)),
            }
        }
    }

    /// Makes the payloads of this group durable; says how many syncs and bytes that took.
    pub(super) fn sync(&mut self) -> Result<(u64, u64), StoreError> {
        let Some(current) = self.current.as_mut().filter(|_| !self.payloads.is_empty()) else {
            return Ok((0, 0));
        };
        let write = || {
            current.file.write_at(current.at, &self.payloads)?;
            fail_points::pass("letters-written");
            current.file.sync()?;
            if current.new { self.disk.sync_names() } else { Ok(()) }
        };
        write().map_err(|cause| {
            disk_error(format!("write dead letters to \"{}\"", file_name(current.number)), cause)
        })?;
        fail_points::pass("letters-synced");
        let written = self.payloads.len() as u64;
        let syncs = 1 + u64::from(std::mem::take(&mut current.new));
        current.at = block_end(current.at + written);
        self.payloads.clear();
        Ok((syncs, written))
    }

    /// The frames of this group are durable: payloads can be read from now on, and files of which
    /// everything was dropped go.
    pub(super) fn publish(&mut self) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.index.apply(self.changes.drain(..));
        let written = self.current.as_ref().map(|current| current.number);
        self.index.take_empty(written).into_iter().try_for_each(|file| self.remove(file))
    }
}

fn file_name(number: u32) -> String {
    format!("dead-letters-{number:04}.dat")
}

/// The number of a file of dead letters, by its name.
pub(super) fn file_number(name: &str) -> Option<u32> {
    name.strip_prefix("dead-letters-")?.strip_suffix(".dat")?.parse().ok()
}

fn check(number: u64, payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back() {
        let place = Place { file: 3, at: 1 << 40, length: 7, check: 9 };
        assert_eq!(Place::decode(&place.encode()), Some(place));
        assert_eq!(Place::decode(&place.encode()[1..]), None);
    }

    #[test]
    fn a_file_has_a_number() {
        assert_eq!(file_number(&file_name(12)), Some(12));
        assert_eq!(file_number("segment-0000000001.log"), None);
    }
}
