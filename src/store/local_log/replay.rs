//! Reads a log from its first segment to its last, and decides how it can be gone on with.

use twinflow_operators::mistakes::{self, Mistake};
use twinflow_operators::store::{Entry, StoreError, entries};

use super::dead_letters::{Index, file_number, recovered};
use super::disk::{Access, Disk};
use super::error::open_error;
use super::format::{
    BLOCK, FRAME_HEAD, FrameHead, FrameKind, HeaderFault, SegmentHeader, block_end,
};
use super::history::{Ending, History, LastFrame, read_segment};
use super::marker::{Known, newer};
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
    /// What is given up, if something is (`--recover-from`).
    pub(super) cut: Option<Cut>,
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

/// What is given up of a damaged log.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Segments behind the last one that is kept.
    pub(super) segments: Vec<u64>,
    /// Epochs of which there was a frame; those that could not be read are not counted.
    pub(super) epochs: u64,
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

/// Reads everything and gives each entry that counts to `each`. Damage is refused, unless
/// everything behind an epoch may be given up for it.
pub(super) fn replay(
    disk: &dyn Disk,
    Known { log_id, proven }: Known,
    index: &Index,
    recover_from: Option<u64>,
    each: &mut dyn FnMut(Entry<'_>),
) -> Result<Found, StoreError> {
    if let Some(limit) = recover_from {
        match Reader::new(disk, log_id, index, &mut |_| {})?.all(proven) {
            Err(StoreError::Corrupt { at, what, .. }) => {
                tracing::warn!(at, what, limit, "recovering from a damaged log");
                return Reader::new(disk, log_id, index, each)?.until(limit);
            }
            Err(other) => return Err(other),
            Ok(_) => tracing::warn!(
                "the log is whole: nothing is given up, --recover-from is not needed"
            ),
        }
    }
    Reader::new(disk, log_id, index, each)?.all(proven)
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
            cut: None,
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
    /// Numbers of all segments, in order.
    numbers: Vec<u64>,
    found: Found,
    bytes: Vec<u8>,
    /// Whether a frame of a later epoch was met than those that are wanted.
    beyond: bool,
}

impl<'a> Reader<'a> {
    fn new(
        disk: &'a dyn Disk,
        log_id: u64,
        index: &'a Index,
        each: &'a mut dyn FnMut(Entry<'_>),
    ) -> Result<Self, StoreError> {
        index.clear();
        let names = disk.list().map_err(|cause| open_error(&disk.place(), "list", cause))?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| segment_number(name, ".log")).collect();
        numbers.sort_unstable();
        let found = Found::new(&names);
        Ok(Self { disk, log_id, index, each, numbers, found, bytes: vec![], beyond: false })
    }

    fn all(mut self, proven: u64) -> Result<Found, StoreError> {
        let Some(&newest) = self.numbers.last() else {
            return if proven == 0 { Ok(self.found) } else { Err(self.lost_end(1, proven)) };
        };
        let first = self.head(newest)?.first_segment;
        if first > newest {
            let what = format!("it says that segment {first} is the first that is needed");
            return Err(self.damage(newest, 0, what));
        }
        self.retire_before(first);
        for expected in first..=newest {
            if !self.numbers.contains(&expected) {
                return Err(self.damage(expected, 0, "the segment is missing".into()));
            }
            self.segment(expected, expected == first, expected == newest)?;
        }
        if self.found.history.sequence < proven && !mistakes::has(Mistake::ProofNotLookedAt) {
            return Err(self.lost_end(newest, proven));
        }
        Ok(self.found)
    }

    /// The log ends before a frame that the marker knows: segments are gone, or cut off.
    fn lost_end(&self, segment: u64, proven: u64) -> StoreError {
        let last = self.found.history.sequence;
        let what = format!(
            "the log ends with frame {last}, and frame {proven} was durable: its newest segment is \
             missing, cut off or older than the rest"
        );
        self.damage(segment, 0, what)
    }

    /// Nothing is needed of the segments before this one.
    fn retire_before(&mut self, first: u64) {
        let retired = self.numbers.iter().copied().filter(|number| *number < first);
        self.found.retired = retired.collect();
    }

    /// Everything up to an epoch, or the damage before it.
    fn until(mut self, limit: u64) -> Result<Found, StoreError> {
        let heads: Vec<SegmentHeader> =
            self.numbers.iter().filter_map(|number| self.head(*number).ok()).collect();
        let Some(newest) = heads.last().copied() else {
            return Err(refused("no segment of it can be read"));
        };
        let first = newest.first_segment;
        // What the sweep wrote that made the older segments go is needed in whole.
        let says_so = heads.iter().find(|head| head.first_segment == first);
        let needed = says_so.filter(|_| first > 1).map_or(0, |head| head.before.sequence);
        self.retire_before(first);
        let mut number = first;
        while self.numbers.contains(&number) && self.good_part(number, number == first, limit) {
            number += 1;
        }
        let kept = self.found.history;
        if kept.sequence < needed {
            return Err(refused(
                "the damage is in what the last sweep wrote, and the segments before it are gone",
            ));
        }
        if kept.epoch < limit && !self.beyond {
            let what = format!("only epoch {} and those before it can be read", kept.epoch);
            return Err(refused(&what));
        }
        self.give_up(&heads);
        if let Some(tail) = &mut self.found.tail {
            (tail.header.first_segment, tail.header.live_bytes) = (first, newest.live_bytes);
        }
        Ok(self.found)
    }

    /// Whether a segment begins where the frames before it end. After `--recover-from` it may begin
    /// at a later generation and epoch.
    fn follows(&self, header: &SegmentHeader) -> bool {
        let (before, now) = (header.before, self.found.history);
        before.sequence == now.sequence
            && before.generation >= now.generation
            && before.epoch >= now.epoch
    }

    /// The good frames of a segment up to an epoch; whether that was all of it.
    fn good_part(&mut self, number: u64, first: bool, limit: u64) -> bool {
        let Ok(bytes) = self.read(number) else { return false };
        let Ok(header) = self.header(number, &bytes) else { return false };
        if first {
            self.found.history = header.before;
        }
        if !self.follows(&header) || header.before.epoch > limit {
            return false;
        }
        let mut history = header.before;
        let (each, index) = (&mut *self.each, self.index);
        let (mut last, mut beyond) = (None, false);
        let read = read_segment(&header, &bytes, &mut history, &mut |head, body, at| {
            beyond |= head.epoch > limit;
            // Looked at before it is given: a frame counts in whole or not at all.
            if beyond || give(head, body, index, &mut |_| {}).is_none() {
                return Err(());
            }
            give(head, body, index, each).ok_or(())?;
            last = Some((LastFrame { head: *head, at, end: at + frame_len(body) }, *head));
            Ok::<(), ()>(())
        });
        self.beyond |= beyond;
        if let Some((_, head)) = &last {
            let (sequence, generation, epoch) = (head.sequence, head.generation, head.epoch);
            self.found.history = History { sequence, generation, epoch };
        }
        let last = last.map(|(last, _)| last);
        self.found.log_bytes += last.map_or(0, |last| block_end(last.end));
        self.found.tail = Some(Tail { header, last });
        let whole = matches!(read, Ok((_, Ending::Whole | Ending::Torn { cut: false, .. })));
        self.bytes = bytes;
        whole
    }

    /// What is behind the kept frames goes; generation and epoch go on above all of it.
    fn give_up(&mut self, heads: &[SegmentHeader]) {
        let kept = self.found.history;
        let cut = self.found.tail.as_ref().map(|tail| tail.header.number);
        let segments = self.numbers.iter().copied().filter(|number| Some(*number) > cut).collect();
        let mut given_up = Cut { segments, epochs: 0 };
        let mut highest = kept;
        for header in heads.iter().filter(|header| Some(header.number) >= cut) {
            let Ok(bytes) = self.read(header.number) else { continue };
            for head in heads_of(header, &bytes) {
                if head.sequence > kept.sequence {
                    given_up.epochs += u64::from(head.kind == FrameKind::Epoch);
                    highest.generation = highest.generation.max(head.generation);
                    highest.epoch = highest.epoch.max(head.epoch);
                }
            }
            highest.epoch = highest.epoch.max(header.before.epoch);
            highest.generation = highest.generation.max(header.before.generation);
        }
        tracing::warn!(
            kept_epoch = kept.epoch,
            epochs = given_up.epochs,
            highest_epoch = highest.epoch,
            segments = ?given_up.segments,
            "giving up what is behind the last epoch that is kept; at least so many epochs"
        );
        self.found.history = History { sequence: kept.sequence, ..highest };
        self.found.cut = Some(given_up);
    }

    /// The header of a segment, without the rest of it.
    fn head(&self, number: u64) -> Result<SegmentHeader, StoreError> {
        let mut block = vec![0; BLOCK as usize];
        let file = self.disk.open(&segment_name(number), Access::Read);
        file.and_then(|file| {
            let length = file.length()?.min(BLOCK) as usize;
            file.read_at(0, &mut block[..length])
        })
        .map_err(|cause| self.read_error(number, cause))?;
        self.header(number, &block)
    }

    fn segment(&mut self, number: u64, first: bool, newest: bool) -> Result<(), StoreError> {
        let bytes = self.read(number)?;
        let header = self.header(number, &bytes)?;
        if first {
            self.found.history = header.before;
        }
        if !self.follows(&header) {
            let what = format!(
                "it begins behind frame {}, and the frames before it end with {}",
                header.before.sequence, self.found.history.sequence
            );
            return Err(self.damage(number, 0, what));
        }
        let mut history = header.before;
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

/// Every frame head that checks: those at the start of a block, and those behind them.
fn heads_of<'b>(
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

fn frame_len(body: &[u8]) -> u64 {
    (FRAME_HEAD + body.len()) as u64
}

/// The answer when giving up what was asked for is not enough.
fn refused(what: &str) -> StoreError {
    let why = format!("the log cannot be recovered from that epoch: {what}; restore a copy of it");
    StoreError::Refused { why }
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
