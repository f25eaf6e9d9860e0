//! Reads a log from its first segment to its last, and decides how it can be gone on with.

use twinflow_operators::store::{Entry, StoreError, entries};

use super::dead_letters::{Index, file_number, recovered};
use super::disk::{Access, Disk};
use super::error::open_error;
use super::format::{BLOCK, FrameHead, FrameKind, HeaderFault, SegmentHeader, block_end};
use super::history::{Ending, History, LastFrame, read_segment};
use super::marker::newer;
use super::spares::{SPARE_NEW, spare_number};

/// Where the log ends, and what must be done before it may go on.
#[derive(Debug)]
pub(super) struct Found {
    /// What its frames say.
    pub(super) history: History,
    /// The last segment.
    pub(super) tail: Option<Tail>,
    /// Files that hold nothing that counts and never did.
    pub(super) leftovers: Vec<String>,
    /// Segments of which nothing is needed any more, oldest first.
    pub(super) retired: Vec<u64>,
    /// Spare files.
    pub(super) spares: Vec<u64>,
    /// Files of dead letters.
    pub(super) dead_letters: Vec<u32>,
    /// Bytes of groups in the segments that are needed.
    pub(super) log_bytes: u64,
}

/// The last segment.
#[derive(Debug)]
pub(super) struct Tail {
    /// Its header.
    pub(super) header: SegmentHeader,
    /// Its last good frame, if it has one.
    pub(super) last: Option<LastFrame>,
}

/// Name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:010}.log")
}

/// Name of a segment that is being copied.
pub(super) fn copy_name(number: u64) -> String {
    format!("segment-{number:010}.copy")
}

/// Name of a segment that has no header yet.
pub(super) fn new_name(number: u64) -> String {
    format!("segment-{number:010}.new")
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
    let Some(&newest) = numbers.last() else { return Ok(reader.found) };
    let first = reader.first_segment(newest)?;
    reader.found.retired = numbers.iter().copied().filter(|number| *number < first).collect();
    for expected in first..=newest {
        if !numbers.contains(&expected) {
            return Err(reader.damage(expected, 0, "the segment is missing".into()));
        }
        reader.segment(expected, expected == first, expected == newest)?;
    }
    Ok(reader.found)
}

impl Found {
    fn new(names: &[String]) -> Self {
        let half_made = |name: &&String| {
            segment_number(name, ".copy").is_some()
                || segment_number(name, ".new").is_some()
                || *name == SPARE_NEW
        };
        Self {
            history: History::default(),
            tail: None,
            leftovers: names.iter().filter(half_made).cloned().collect(),
            retired: Vec::new(),
            spares: names.iter().filter_map(|name| spare_number(name)).collect(),
            dead_letters: names.iter().filter_map(|name| file_number(name)).collect(),
            log_bytes: 0,
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
    /// The first segment that is needed, as the newest one says.
    fn first_segment(&mut self, newest: u64) -> Result<u64, StoreError> {
        let mut block = vec![0; BLOCK as usize];
        let file = self.disk.open(&segment_name(newest), Access::Read);
        file.and_then(|file| {
            let length = file.length()?.min(BLOCK) as usize;
            file.read_at(0, &mut block[..length])
        })
        .map_err(|cause| self.read_error(newest, cause))?;
        let first = self.header(newest, &block)?.first_segment;
        if first > newest {
            let what = format!("it says that segment {first} is the first that is needed");
            return Err(self.damage(newest, 0, what));
        }
        Ok(first)
    }

    fn segment(&mut self, number: u64, first: bool, newest: bool) -> Result<(), StoreError> {
        let bytes = self.read(number)?;
        let header = self.header(number, &bytes)?;
        if first {
            self.found.history = header.before;
        }
        if header.before != self.found.history {
            let what = format!(
                "it begins behind frame {}, and the frames before it end with {}",
                header.before.sequence, self.found.history.sequence
            );
            return Err(self.damage(number, 0, what));
        }
        let mut history = self.found.history;
        let (each, index) = (&mut *self.each, self.index);
        let read = read_segment(&header, &bytes, &mut history, &mut |head, body, at| {
            give(head, body, index, each).ok_or((at, head.sequence))
        });
        self.found.history = history;
        let (last, ending) = read.map_err(|(at, sequence)| {
            self.damage(number, at, format!("frame {sequence} holds something that is no entry"))
        })?;
        if let Ending::Damaged { at, proof } = ending {
            let what = format!(
                "frame {} is not what was written, and frame {proof} proves that it was durable",
                history.sequence + 1
            );
            return Err(self.damage(number, at, what));
        }
        if let Ending::Torn { at, cut: true } = ending {
            if !newest {
                let what = format!("frame {} is not what was written", history.sequence + 1);
                return Err(self.damage(number, at, what));
            }
            let segment = segment_name(number);
            tracing::warn!(segment, at, "dropping a write that was cut off");
        }
        self.found.log_bytes += last.map_or(0, |last| block_end(last.end));
        self.found.tail = Some(Tail { header, last });
        self.bytes = bytes;
        Ok(())
    }

    /// The header of a segment. It is durable before the segment has its name.
    fn header(&self, number: u64, bytes: &[u8]) -> Result<SegmentHeader, StoreError> {
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            Err(HeaderFault::Newer(version)) => return Err(newer(&self.disk.place(), version)),
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
        Ok(header)
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
        let bytes: Vec<u8> = read().map_err(|cause| self.read_error(number, cause))?;
        Ok(bytes)
    }

    fn read_error(&self, number: u64, cause: std::io::Error) -> StoreError {
        let doing = format!("read \"{}\" of", segment_name(number));
        open_error(&self.disk.place(), &doing, cause)
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
