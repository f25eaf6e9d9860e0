//! Reads a log from its first segment to its last, and decides how it can be gone on with.

use twinflow_operators::mistakes::{self, Mistake};

use twinflow_operators::store::{Entry, Piece, Reading, StoreError};

use super::chain::{Counted, counted};
use super::claim;
use super::dead_letters::{Index, appended, file_number};
use super::disk::Disk;
use super::error::open_error;
use super::format::{SegmentHeader, block_end};
use super::history::{Ending, History, LastFrame};
use super::marker::{self, Known};
use super::readers::newest_first;
use super::segment::{
    Fault, Segment, SegmentReader, heads_of, is_half_made, segment_name, segment_number,
};
use super::spares::is_spare;

/// Where the log ends, and what must be done before it may go on.
#[derive(Debug)]
pub(super) struct Found {
    /// What its frames say.
    pub(super) history: History,
    /// The last segment.
    pub(super) tail: Option<Tail>,
    /// Files that hold nothing that counts and never did, and spares: their process may still have
    /// them open.
    pub(super) leftovers: Vec<String>,
    /// Segments of which nothing is needed any more, oldest first.
    pub(super) retired: Vec<u64>,
    /// Segments that count, oldest first.
    pub(super) counted: Vec<u64>,
    /// Segments that a later one replaces, oldest first.
    pub(super) replaced: Vec<u64>,
    /// Number of the newest segment, of whatever kind; 0 if there is none.
    pub(super) newest: u64,
    /// What is given up, if something is (`--recover-from`).
    pub(super) cut: Option<Cut>,
    /// Files of dead letters.
    pub(super) dead_letters: Vec<u32>,
    /// Bytes of groups in the segments that are needed.
    pub(super) log_bytes: u64,
    /// Segment and offset of a write that was cut off.
    pub(super) cut_off: Option<(u64, u64)>,
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
    /// Epochs of which there was a frame; those that could not be read are not counted.
    pub(super) epochs: u64,
}

/// Who is given the entries that count.
pub(super) enum Visit<'a> {
    /// Each of them, in the order in which they were written.
    InOrder(&'a mut dyn FnMut(Entry<'_>)),
    /// Segments, the newest first, sorted for so many shards.
    NewestFirst(usize, &'a Reading, &'a mut dyn FnMut(&Piece)),
}

/// What is wrong with a segment that is not there.
const MISSING: &str = "the segment is missing";

/// Reads everything and gives each entry that counts to `visit`. Damage is refused, unless
/// everything behind an epoch may be given up for it.
pub(super) fn replay(
    disk: &dyn Disk,
    Known { log_id, proven }: Known,
    index: &Index,
    recover_from: Option<u64>,
    visit: Visit<'_>,
) -> Result<Found, StoreError> {
    if let Some(limit) = recover_from {
        match Judge::new(disk, log_id, index)?.all(Visit::InOrder(&mut |_| {}), proven) {
            Err(StoreError::Corrupt { at, what, .. }) => {
                tracing::warn!(at, what, limit, "recovering from a damaged log");
                return Judge::new(disk, log_id, index)?.until(limit, visit);
            }
            Err(other) => return Err(other),
            Ok(_) => tracing::warn!(
                "the log is whole: nothing is given up, --recover-from is not needed"
            ),
        }
    }
    Judge::new(disk, log_id, index)?.all(visit, proven)
}

/// The newest generation of a log that has no record of any, as far as that can be told quickly.
pub(super) fn newest_generation(disk: &dyn Disk, log_id: u64) -> u64 {
    let reader = SegmentReader { disk, log_id, limit: u64::MAX, shards: 1 };
    let names = disk.list().unwrap_or_default();
    let newest = names.iter().filter_map(|name| segment_number(name)).max();
    let Some(header) = newest.and_then(|newest| reader.head(newest).ok()) else { return 0 };
    let mut bytes = Vec::new();
    let read = reader.bytes(header.number, &mut bytes);
    let heads = read.into_iter().flat_map(|()| heads_of(&header, &bytes));
    heads.map(|head| head.generation).max().unwrap_or(0).max(header.before.generation)
}

impl Found {
    /// A log without a frame that goes on behind an older one.
    #[cfg(feature = "server")]
    pub(super) fn behind(history: History) -> Self {
        Self { history, ..Self::new(&[]) }
    }

    fn new(names: &[String]) -> Self {
        let leftover = |name: &&String| {
            is_half_made(name)
                || is_spare(name)
                || claim::is_half_made(name)
                || marker::is_half_made(name)
        };
        Self {
            history: History::default(),
            tail: None,
            leftovers: names.iter().filter(leftover).cloned().collect(),
            retired: Vec::new(),
            counted: Vec::new(),
            replaced: Vec::new(),
            newest: names.iter().filter_map(|name| segment_number(name)).max().unwrap_or(0),
            cut: None,
            dead_letters: names.iter().filter_map(|name| file_number(name)).collect(),
            log_bytes: 0,
            cut_off: None,
        }
    }
}

/// Judges how the segments go together, in order.
pub(super) struct Judge<'a> {
    pub(super) reader: SegmentReader<'a>,
    pub(super) index: &'a Index,
    /// Numbers of all segments, in order.
    pub(super) numbers: Vec<u64>,
    pub(super) found: Found,
}

impl<'a> Judge<'a> {
    fn new(disk: &'a dyn Disk, log_id: u64, index: &'a Index) -> Result<Self, StoreError> {
        index.clear();
        let names = disk.list().map_err(|cause| open_error(&disk.place(), "list", cause))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        let reader = SegmentReader { disk, log_id, limit: u64::MAX, shards: 1 };
        Ok(Self { reader, index, numbers, found: Found::new(&names) })
    }

    fn all(mut self, visit: Visit<'_>, proven: u64) -> Result<Found, StoreError> {
        let Some(&newest) = self.numbers.last() else {
            return if proven == 0 { Ok(self.found) } else { Err(self.lost_end(1, proven)) };
        };
        let head = self.reader.head(newest);
        let first = head.map_err(|fault| self.refuse(newest, fault))?.first_segment;
        if first > newest {
            let what = format!("it says that segment {first} is the first that is needed");
            return Err(self.damage(newest, 0, what));
        }
        self.retire_before(first);
        let segments = self.counted(first);
        if segments[0].number != first {
            let read = self.reader.head(first);
            let what = "a later one takes its place, and says that it is needed".to_owned();
            return Err(self.refuse_lost(first, read.err().unwrap_or(Fault::Damaged(what))));
        }
        match visit {
            Visit::InOrder(each) => {
                let mut piece = Piece::default();
                for (nth, segment) in segments.iter().enumerate() {
                    let read = self.reader.read(*segment, &mut piece);
                    let read = read.and_then(|read| self.reader.judged(*segment, read));
                    self.segment(&segments, nth, read)?;
                    piece.entries().map(appended).for_each(&mut *each);
                }
            }
            Visit::NewestFirst(shards, reading, each) => {
                let reader = SegmentReader { shards, ..self.reader };
                let all = newest_first(reader, &segments, reading, each);
                for (nth, read) in all.into_iter().enumerate() {
                    self.segment(&segments, nth, read)?;
                }
            }
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
    pub(super) fn retire_before(&mut self, first: u64) {
        let retired = self.numbers.iter().copied().filter(|number| *number < first);
        self.found.retired = retired.collect();
    }

    /// The segments that count, from this one on; notes those that others replace.
    pub(super) fn counted(&mut self, first: u64) -> Vec<Counted> {
        let needed = self.numbers.iter().copied().filter(|number| *number >= first);
        let head = |number| self.reader.head(number).ok().map(|head| head.before.sequence);
        let headers: Vec<_> = needed.map(|number| (number, head(number))).collect();
        let counted = counted(&headers);
        self.found.counted = counted.iter().map(|segment| segment.number).collect();
        let rest = headers.iter().map(|(number, _)| *number);
        self.found.replaced = rest.filter(|it| !self.found.counted.contains(it)).collect();
        counted
    }

    /// Takes in what a segment says, behind that of the one before it.
    fn segment(
        &mut self,
        segments: &[Counted],
        nth: usize,
        read: Result<Segment, Fault>,
    ) -> Result<(), StoreError> {
        let Counted { number, until } = segments[nth];
        let Segment { header, history, last, ending, letters } =
            read.map_err(|fault| self.refuse(number, fault))?;
        if nth == 0 {
            self.found.history = header.before;
        }
        if !self.follows(&header) {
            let before = nth.checked_sub(1).map_or(number, |before| segments[before].number);
            self.refuse_gap(before, number)?;
            let what = format!(
                "it begins behind frame {}, and the frames before it end with {}",
                header.before.sequence, self.found.history.sequence
            );
            return Err(self.damage(number, 0, what));
        }
        self.found.history = history;
        if history.sequence < until {
            self.judge(segments[nth], ending)?;
        }
        self.index.apply(letters);
        self.found.log_bytes += last.map_or(0, |last| block_end(last.end));
        self.found.tail = Some(Tail { header, last });
        Ok(())
    }

    /// Refuses a segment whose frames end where they must not. Where nothing is wrong with it by
    /// itself, the next one will not follow it.
    fn judge(&mut self, segment: Counted, ending: Ending) -> Result<(), StoreError> {
        let number = segment.number;
        let lost = self.found.history.sequence + 1;
        let (at, what) = match ending {
            Ending::Whole | Ending::Beyond | Ending::Torn { cut: false, .. } => return Ok(()),
            Ending::Torn { at, .. } if segment.is_newest() => {
                let segment = segment_name(number);
                tracing::warn!(segment, at, "dropping a write that was cut off");
                self.found.cut_off = Some((number, at));
                return Ok(());
            }
            Ending::Torn { at, .. } | Ending::Unjudged { at } => {
                (at, format!("frame {lost} is not what was written"))
            }
            Ending::Damaged { at, proof } => (
                at,
                format!(
                    "frame {lost} is not what was written, and frame {proof} proves that it was \
                     durable"
                ),
            ),
            Ending::NoEntry { at, sequence } => {
                (at, format!("frame {sequence} holds something that is no entry"))
            }
        };
        Err(self.damage(number, at, what))
    }

    /// Refuses what is wrong between two segments that count and do not go together.
    fn refuse_gap(&self, before: u64, next: u64) -> Result<(), StoreError> {
        let between = before + 1..next;
        let is_there = |number: &u64| self.numbers.contains(number);
        for number in between.clone().filter(is_there) {
            if let Err(fault) = self.reader.head(number) {
                return Err(self.refuse(number, fault));
            }
        }
        let missing: Vec<u64> = between.filter(|number| !is_there(number)).collect();
        match missing[..] {
            [] => Ok(()),
            [number] => Err(self.damage(number, 0, MISSING.into())),
            [number, .., last] => {
                let last = segment_name(last);
                let what = format!("this segment, or one behind it up to \"{last}\", is missing");
                Err(self.damage(number, 0, what))
            }
        }
    }

    /// Refuses a segment that is needed and cannot be read, or is not there.
    fn refuse_lost(&self, number: u64, fault: Fault) -> StoreError {
        match self.numbers.contains(&number) {
            true => self.refuse(number, fault),
            false => self.damage(number, 0, MISSING.into()),
        }
    }

    /// Whether a segment begins where the frames before it end. After `--recover-from` it may begin
    /// at a later generation and epoch.
    pub(super) fn follows(&self, header: &SegmentHeader) -> bool {
        let (before, now) = (header.before, self.found.history);
        before.sequence == now.sequence
            && before.generation >= now.generation
            && before.epoch >= now.epoch
    }

    /// Why a segment of which nothing can be read stops the start.
    pub(super) fn refuse(&self, number: u64, fault: Fault) -> StoreError {
        match fault {
            Fault::Damaged(what) => self.damage(number, 0, what),
            Fault::Other(error) => error,
        }
    }

    fn damage(&self, segment: u64, at: u64, what: String) -> StoreError {
        StoreError::Corrupt {
            at: format!("\"{}\" at {at}", segment_name(segment)),
            what,
            last_good_epoch: self.found.history.epoch,
        }
    }
}
