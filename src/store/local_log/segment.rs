//! One segment, read and checked by itself, on whatever thread: how segments go together is judged
//! in `replay.rs`.

use std::fmt;
use std::io;

use twinflow_operators::mistakes::{self, Mistake};
use twinflow_operators::store::{Piece, StoreError};

use super::chain::Counted;
use super::dead_letters::{Change, note};
use super::disk::{Access, Disk};
use super::error::open_error;
use super::format::{
    BLOCK, FRAME_HEAD, FrameHead, FrameKind, HeaderFault, SegmentHeader, block_end,
};
use super::history::{Ending, History, LastFrame, Rest, read_segment};
use super::marker::newer;

/// Segments are read in pieces of this length.
const PIECE: u64 = 1 << 20;

/// Name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:010}.log")
}

/// Name of a segment that is being made, which no other generation gives.
pub(super) fn new_name(number: u64, generation: u64) -> String {
    format!("segment-{number:010}-{generation}.new")
}

/// The number of a segment, by its name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?.strip_suffix(".log")?.parse().ok()
}

/// Whether it is a segment that is being made or, as it was done once, copied.
pub(super) fn is_half_made(name: &str) -> bool {
    name.starts_with("segment-") && (name.ends_with(".new") || name.ends_with(".copy"))
}

/// Gives a segment that is durable its name, unless another process has made one of this number.
pub(super) fn name_segment(disk: &dyn Disk, new: &str, number: u64) -> io::Result<()> {
    let name = segment_name(number);
    if mistakes::has(Mistake::SegmentsReplaced) {
        return disk.rename(new, &name);
    }
    disk.rename_new(new, &name).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::other(format!(
            "another process has made \"{name}\" in this moment; the next start goes on behind it"
        )),
        _ => error,
    })
}

/// What a segment says.
#[derive(Debug)]
pub(super) struct Segment {
    /// Its header.
    pub(super) header: SegmentHeader,
    /// What its good frames say.
    pub(super) history: History,
    /// The last one.
    pub(super) last: Option<LastFrame>,
    /// What is behind it.
    pub(super) ending: Ending,
    /// What its entries tell of dead letters.
    pub(super) letters: Vec<Change>,
}

/// Why nothing of a segment can be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not what was written.
    Damaged(String),
    /// Anything else.
    Other(StoreError),
}

/// Reads segments of one log.
#[derive(Clone, Copy)]
pub(super) struct SegmentReader<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) log_id: u64,
    /// Frames of later epochs are not wanted, nor what is behind them.
    pub(super) limit: u64,
    /// For so many its entries are sorted.
    pub(super) shards: usize,
}

impl SegmentReader<'_> {
    /// The header, without the rest.
    pub(super) fn head(&self, number: u64) -> Result<SegmentHeader, Fault> {
        let mut block = vec![0; BLOCK as usize];
        let file = self.disk.open(&segment_name(number), Access::Read);
        file.and_then(|file| {
            let length = file.length()?.min(BLOCK) as usize;
            file.read_at(0, &mut block[..length])
        })
        .map_err(|cause| self.unread(number, cause))?;
        self.header(number, &block)
    }

    /// How many bytes it has; 0 if that cannot be told.
    pub(super) fn length(&self, number: u64) -> u64 {
        let file = self.disk.open(&segment_name(number), Access::Read);
        file.and_then(|file| file.length()).unwrap_or(0)
    }

    /// Everything in it that counts; the entries are in `piece` then. What follows the last good
    /// frame is not looked at: see [`Self::judged`].
    pub(super) fn read(
        &self,
        Counted { number, until }: Counted,
        piece: &mut Piece,
    ) -> Result<Segment, Fault> {
        let Piece { bytes, places } = piece;
        places.clear(self.shards);
        let header = self.load(number, bytes)?;
        let bytes = &**bytes;
        let (mut history, mut letters) = (header.before, Vec::new());
        let (last, ending) = read_segment(&header, bytes, &mut history, |head, body| {
            if head.sequence > until || head.epoch > self.limit {
                return Err(Ending::Beyond);
            }
            if head.kind != FrameKind::Epoch {
                return Ok(());
            }
            let (known, start) = (letters.len(), body.start);
            if places.add(bytes, body, head.entries, |entry| note(entry, &mut letters)) {
                return Ok(());
            }
            letters.truncate(known);
            let at = (start - FRAME_HEAD) as u64;
            Err(Ending::NoEntry { at, sequence: head.sequence })
        });
        Ok(Segment { header, history, last, ending, letters })
    }

    /// Looks at what follows the last good frame, if anything may be missing there.
    pub(super) fn judged(
        &self,
        Counted { number, until }: Counted,
        segment: Segment,
    ) -> Result<Segment, Fault> {
        let Ending::Unjudged { at } = segment.ending else { return Ok(segment) };
        let last = segment.history.sequence;
        let ending = match last < until {
            true => self.rest(&segment.header, Rest::new(at, last + 1)),
            // The next segment says that it goes no further.
            false => Ok(Ending::Whole),
        };
        let ending = ending.map_err(|cause| self.unread(number, cause))?;
        Ok(Segment { ending, ..segment })
    }

    /// Looks at every block behind the last good frame for a frame that was written when the next
    /// one was durable. A piece at a time: it may be most of a segment, and hold nothing.
    fn rest(&self, header: &SegmentHeader, mut rest: Rest) -> io::Result<Ending> {
        let file = self.disk.open(&segment_name(header.number), Access::Read)?;
        let length = file.length()?;
        let mut window = Vec::new();
        let (at, first) = (rest.at, rest.at - rest.at % BLOCK);
        for from in (first..length).step_by(PIECE as usize) {
            window.clear();
            // A head may go on behind the piece.
            file.append_to(&mut window, from, (PIECE + BLOCK).min(length - from) as usize)?;
            let blocks = (from..length.min(from + PIECE)).step_by(BLOCK as usize);
            let places = blocks.map(|block| block.max(at));
            let heads = places.filter_map(|at| {
                FrameHead::decode(&window[(at - from) as usize..], header.seed, at)
            });
            for head in heads {
                if let Some(damaged) = rest.look(&head) {
                    return Ok(damaged);
                }
            }
        }
        Ok(rest.torn())
    }

    /// Reads as far as frames follow one another by their heads, and gives the header.
    fn load(&self, number: u64, bytes: &mut Vec<u8>) -> Result<SegmentHeader, Fault> {
        let unread = |cause| self.unread(number, cause);
        let file = self.disk.open(&segment_name(number), Access::Read).map_err(unread)?;
        let length = file.length().map_err(unread)?;
        bytes.clear();
        bytes.reserve_exact(usize::try_from(length).map_err(|it| unread(io::Error::other(it)))?);
        let (mut header, mut at) = (None, BLOCK);
        while (bytes.len() as u64) < length && at + FRAME_HEAD as u64 > bytes.len() as u64 {
            let from = bytes.len() as u64;
            let more = (at - from.min(at) + PIECE).min(length - from);
            file.append_to(bytes, from, more as usize).map_err(unread)?;
            let header = match header {
                Some(header) => header,
                None => *header.insert(self.header(number, bytes)?),
            };
            at = end_of_heads(&header, bytes, at);
        }
        header.map_or_else(|| self.header(number, bytes), Ok)
    }

    /// All of its bytes.
    pub(super) fn bytes(&self, number: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let file = self.disk.open(&segment_name(number), Access::Read)?;
        let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
        bytes.clear();
        file.append_to(bytes, 0, length)
    }

    /// It is durable before the segment has its name.
    fn header(&self, number: u64, bytes: &[u8]) -> Result<SegmentHeader, Fault> {
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            Err(HeaderFault::Newer(version)) => {
                return Err(Fault::Other(newer(&self.disk.place(), version)));
            }
            Err(HeaderFault::Damaged) => {
                return Err(Fault::Damaged("its header is not what was written".into()));
            }
        };
        if header.log_id != self.log_id || header.number != number {
            return Err(Fault::Damaged(format!(
                "it is segment {} of log {:016x}, not of log {:016x}",
                header.number, header.log_id, self.log_id
            )));
        }
        Ok(header)
    }

    fn unread(&self, number: u64, cause: io::Error) -> Fault {
        let doing = format!("read \"{}\" of", segment_name(number));
        Fault::Other(open_error(&self.disk.place(), &doing, cause))
    }
}

impl fmt::Debug for SegmentReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader").field("place", &self.disk.place()).finish_non_exhaustive()
    }
}

/// Where no further frame head follows in these bytes of a segment; perhaps behind them.
fn end_of_heads(header: &SegmentHeader, bytes: &[u8], mut at: u64) -> u64 {
    let head = |at: u64| {
        let bytes = bytes.get(usize::try_from(at).ok()?..)?;
        FrameHead::decode(bytes, header.seed, at)
    };
    while let Some(head) = head(at) {
        let end = at + FRAME_HEAD as u64 + u64::from(head.body_len);
        at = if head.last_in_group { block_end(end) } else { end };
    }
    at
}

/// Every frame head that checks: those at the start of a block, and those behind them.
pub(super) fn heads_of<'b>(
    header: &SegmentHeader,
    bytes: &'b [u8],
) -> impl Iterator<Item = FrameHead> + use<'b> {
    let seed = header.seed;
    let decode = move |at: u64| {
        let bytes = bytes.get(usize::try_from(at).ok()?..)?;
        FrameHead::decode(bytes, seed, at).map(|head| (at, head))
    };
    let blocks = (BLOCK..bytes.len() as u64).step_by(BLOCK as usize);
    blocks.flat_map(move |block| {
        std::iter::successors(decode(block), move |(at, head)| {
            let next = at + FRAME_HEAD as u64 + u64::from(head.body_len);
            decode(next).filter(|_| !head.last_in_group && !next.is_multiple_of(BLOCK))
        })
        .map(|(_, head)| head)
    })
}
