//! Reads a log from its first segment to its last, and decides how it can be gone on with.

use twinflow_operators::store::{Entry, StoreError, entries};

use super::dead_letters::{Index, file_number, recovered};
use super::disk::{Access, Disk};
use super::error::open_error;
use super::format::{BLOCK, FrameHead, FrameKind, HeaderFault, SegmentHeader, block_end};
use super::history::{Ending, History, LastFrame, read_segment};
use super::marker::newer;

/// Where the log ends, and what must be done before it may go on.
#[derive(Debug)]
pub(super) struct Found {
    /// What its frames say.
    pub(super) history: History,
    /// The last segment with a frame.
    pub(super) tail: Option<Tail>,
    /// Leftovers: files that hold nothing that counts.
    pub(super) leftovers: Vec<String>,
    /// Number of the next file of dead letters.
    pub(super) next_dead_letters: u32,
    /// Bytes of the files.
    pub(super) disk_bytes: u64,
}

/// The last segment with a frame.
#[derive(Debug)]
pub(super) struct Tail {
    /// Its header.
    pub(super) header: SegmentHeader,
    /// Its last good frame.
    pub(super) last: LastFrame,
    /// Whether that is a seal with nothing behind it: everything before is known to be durable.
    pub(super) sealed: bool,
}

/// Name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:010}.log")
}

/// Name of a segment that is being copied.
pub(super) fn copy_name(number: u64) -> String {
    format!("segment-{number:010}.copy")
}

fn segment_number(name: &str, suffix: &str) -> Option<u64> {
    name.strip_prefix("segment-")?.strip_suffix(suffix)?.parse().ok()
}

/// Reads everything and gives each entry that counts to `each`.
pub(super) fn replay(
    disk: &dyn Disk,
    log_id: u64,
    index: &Index,
    each: &mut dyn FnMut(Entry<'_>),
) -> Result<Found, StoreError> {
    index.clear();
    let names = disk.list().map_err(|cause| open_error(&disk.place(), "list", cause))?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| segment_number(name, ".log")).collect();
    numbers.sort_unstable();
    let mut reader = Reader { disk, log_id, index, each, found: Found::new(&names), bytes: vec![] };
    for (nth, &number) in numbers.iter().enumerate() {
        let expected = numbers[0] + nth as u64;
        if number != expected {
            return Err(reader.damage(expected, 0, "the segment is missing".into()));
        }
        reader.segment(number, nth + 1 == numbers.len())?;
    }
    Ok(reader.found)
}

impl Found {
    fn new(names: &[String]) -> Self {
        let is_copy = |name: &&String| segment_number(name, ".copy").is_some();
        let newest = names.iter().filter_map(|name| file_number(name)).max();
        Self {
            history: History::default(),
            tail: None,
            leftovers: names.iter().filter(is_copy).cloned().collect(),
            next_dead_letters: newest.map_or(1, |newest| newest + 1),
            disk_bytes: 0,
        }
    }
}

struct Reader<'a> {
    disk: &'a dyn Disk,
    log_id: u64,
    index: &'a Index,
    each: &'a mut dyn FnMut(Entry<'_>),
    found: Found,
    bytes: Vec<u8>,
}

impl Reader<'_> {
    fn segment(&mut self, number: u64, newest: bool) -> Result<(), StoreError> {
        let bytes = self.read(number)?;
        let Some(header) = self.header(number, newest, &bytes)? else {
            self.found.leftovers.push(segment_name(number));
            self.bytes = bytes;
            return Ok(());
        };
        let mut history = self.found.history;
        let (each, index) = (&mut *self.each, self.index);
        let read = read_segment(&header, &bytes, &mut history, &mut |head, body, at| {
            give(head, body, index, each).ok_or((at, head.sequence))
        });
        self.found.history = history;
        let (last, ending) = read.map_err(|(at, sequence)| {
            self.damage(number, at, format!("frame {sequence} holds something that is no entry"))
        })?;
        match ending {
            Ending::Damaged { at, proof } => {
                let what = format!(
                    "frame {} is not what was written, and frame {proof} proves that it was \
                     durable",
                    history.sequence + 1
                );
                return Err(self.damage(number, at, what));
            }
            Ending::Torn { at } if !newest => {
                let what = format!("frame {} is not what was written", history.sequence + 1);
                return Err(self.damage(number, at, what));
            }
            Ending::Torn { at } => {
                let (segment, bytes) = (segment_name(number), bytes.len() as u64 - at);
                tracing::warn!(segment, at, bytes, "dropping a write that was cut off");
            }
            Ending::Whole => {}
        }
        match last {
            Some(last) => {
                let sealed = last.head.kind == FrameKind::Seal
                    && bytes.len() as u64 == block_end(last.end)
                    && ending == Ending::Whole;
                self.found.tail = Some(Tail { header, last, sealed });
            }
            None if newest => self.found.leftovers.push(segment_name(number)),
            None => return Err(self.damage(number, BLOCK, "its frames are missing".into())),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The header of a segment; `None` if the segment was being created and never used.
    fn header(
        &self,
        number: u64,
        newest: bool,
        bytes: &[u8],
    ) -> Result<Option<SegmentHeader>, StoreError> {
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            Err(HeaderFault::Newer(version)) => return Err(newer(&self.disk.place(), version)),
            // The header is durable before anything is written behind it.
            Err(HeaderFault::Damaged) if newest && bytes.len() as u64 <= BLOCK => return Ok(None),
            Err(HeaderFault::Damaged) => {
                return Err(self.damage(number, 0, "its header is not what was written".into()));
            }
        };
        if header.log_id != self.log_id || header.number != number {
            let what = format!(
                "it is segment {} of log {:016x}, not of log {:016x}",
                header.number, header.log_id, self.log_id
            );
            return Err(self.damage(number, 0, what));
        }
        let next = self.found.history.sequence + 1;
        if header.first_sequence != next {
            let what = format!(
                "it begins with frame {}, and the frames before it end with {}",
                header.first_sequence,
                next - 1
            );
            return Err(self.damage(number, 0, what));
        }
        Ok(Some(header))
    }

    fn read(&mut self, number: u64) -> Result<Vec<u8>, StoreError> {
        let name = segment_name(number);
        let mut bytes = std::mem::take(&mut self.bytes);
        let read = || {
            let file = self.disk.open(&name, Access::Read)?;
            bytes.resize(usize::try_from(file.length()?).map_err(std::io::Error::other)?, 0);
            file.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        let bytes: Vec<u8> = read().map_err(|cause| {
            open_error(&self.disk.place(), &format!("read \"{name}\" of"), cause)
        })?;
        self.found.disk_bytes += bytes.len() as u64;
        Ok(bytes)
    }

    fn damage(&self, segment: u64, at: u64, what: String) -> StoreError {
        StoreError::Corrupt {
            at: format!("\"{}\" at {at}", segment_name(segment)),
            what,
            last_good_epoch: self.found.history.epoch,
        }
    }
}

/// Gives the entries of a frame; `None` if the frame holds something else.
fn give(
    head: &FrameHead,
    body: &[u8],
    index: &Index,
    each: &mut dyn FnMut(Entry<'_>),
) -> Option<()> {
    if head.kind != FrameKind::Epoch {
        return Some(());
    }
    let mut count = 0;
    for entry in entries(body) {
        each(recovered(entry?, index)?);
        count += 1;
    }
    (count == head.entries).then_some(())
}
