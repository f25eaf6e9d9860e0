//! Reads a log from its first segment to its last, and decides how it can be gone on with.

use std::ops::RangeInclusive;

use twinflow_operators::mistakes::{self, Mistake};

use twinflow_operators::store::{Entry, Piece, Reading, StoreError};

use super::dead_letters::{Index, appended, file_number};
use super::disk::Disk;
use super::error::open_error;
use super::format::{FrameKind, SegmentHeader, block_end};
use super::history::{Ending, History, LastFrame};
use super::marker::Known;
use super::readers::newest_first;
use super::segment::{Fault, Segment, SegmentReader, heads_of, segment_name, segment_number};
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
    /// Segments behind the last one that is kept.
    pub(super) segments: Vec<u64>,
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

impl Found {
    /// A log without a frame that goes on behind an older one.
    #[cfg(feature = "server")]
    pub(super) fn behind(history: History) -> Self {
        Self { history, ..Self::new(&[]) }
    }

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
            cut_off: None,
        }
    }
}

/// Judges how the segments go together, in order.
struct Judge<'a> {
    reader: SegmentReader<'a>,
    index: &'a Index,
    /// Numbers of all segments, in order.
    numbers: Vec<u64>,
    found: Found,
}

impl<'a> Judge<'a> {
    fn new(disk: &'a dyn Disk, log_id: u64, index: &'a Index) -> Result<Self, StoreError> {
        index.clear();
        let names = disk.list().map_err(|cause| open_error(&disk.place(), "list", cause))?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| segment_number(name, ".log")).collect();
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
        let numbers = first..=newest;
        match visit {
            Visit::InOrder(each) => {
                let mut piece = Piece::default();
                for number in numbers {
                    let read = self.reader.read(number, &mut piece);
                    self.segment(number, read, number == first, number == newest)?;
                    piece.entries().map(appended).for_each(&mut *each);
                }
            }
            Visit::NewestFirst(shards, reading, each) => {
                let reader = SegmentReader { shards, ..self.reader };
                let all = newest_first(reader, numbers.clone(), reading, each);
                for (number, read) in numbers.zip(all) {
                    self.segment(number, read, number == first, number == newest)?;
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
    fn retire_before(&mut self, first: u64) {
        let retired = self.numbers.iter().copied().filter(|number| *number < first);
        self.found.retired = retired.collect();
    }

    /// Takes in what a segment says, behind that of the one before it.
    fn segment(
        &mut self,
        number: u64,
        read: Result<Segment, Fault>,
        first: bool,
        newest: bool,
    ) -> Result<(), StoreError> {
        let missing = !self.numbers.contains(&number);
        let read = read.map_err(|fault| match missing {
            true => Fault::Damaged("the segment is missing".into()),
            false => fault,
        });
        let Segment { header, history, last, ending, letters } =
            read.map_err(|fault| self.refuse(number, fault))?;
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
        self.found.history = history;
        let lost = history.sequence + 1;
        match ending {
            Ending::Whole | Ending::Torn { cut: false, .. } => {}
            Ending::Torn { at, .. } if newest => {
                let segment = segment_name(number);
                tracing::warn!(segment, at, "dropping a write that was cut off");
                self.found.cut_off = Some((number, at));
            }
            Ending::Torn { at, .. } => {
                let what = format!("frame {lost} is not what was written");
                return Err(self.damage(number, at, what));
            }
            Ending::Damaged { at, proof } => {
                let what = format!(
                    "frame {lost} is not what was written, and frame {proof} proves that it was \
                     durable"
                );
                return Err(self.damage(number, at, what));
            }
            Ending::NoEntry { at, sequence } => {
                let what = format!("frame {sequence} holds something that is no entry");
                return Err(self.damage(number, at, what));
            }
            Ending::Beyond => unreachable!("no epoch is beyond the last number"),
        }
        self.index.apply(letters);
        self.found.log_bytes += last.map_or(0, |last| block_end(last.end));
        self.found.tail = Some(Tail { header, last });
        Ok(())
    }

    /// Everything up to an epoch, or the damage before it.
    fn until(mut self, limit: u64, visit: Visit<'_>) -> Result<Found, StoreError> {
        self.reader.limit = limit;
        let heads: Vec<SegmentHeader> =
            self.numbers.iter().filter_map(|number| self.reader.head(*number).ok()).collect();
        let Some(newest) = heads.last().copied() else {
            return Err(refused("no segment of it can be read"));
        };
        let first = newest.first_segment;
        // What the sweep wrote that made the older segments go is needed in whole.
        let says_so = heads.iter().find(|head| head.first_segment == first);
        let needed = says_so.filter(|_| first > 1).map_or(0, |head| head.before.sequence);
        self.retire_before(first);
        let mut number = first;
        let mut ending = Ending::Whole;
        while matches!(ending, Ending::Whole | Ending::Torn { cut: false, .. })
            && let Some(good) = self.good_part(number, number == first)
        {
            (ending, number) = (good, number + 1);
        }
        let kept = self.found.history;
        if kept.sequence < needed {
            return Err(refused(
                "the damage is in what the last sweep wrote, and the segments before it are gone",
            ));
        }
        if kept.epoch < limit && ending != Ending::Beyond {
            let what = format!("only epoch {} and those before it can be read", kept.epoch);
            return Err(refused(&what));
        }
        if let Some(tail) = &self.found.tail {
            self.give(first..=tail.header.number, visit)?;
        }
        self.give_up(&heads);
        if let Some(tail) = &mut self.found.tail {
            (tail.header.first_segment, tail.header.live_bytes) = (first, newest.live_bytes);
        }
        Ok(self.found)
    }

    /// Gives the entries of segments of which the good part is known to be kept.
    fn give(&self, numbers: RangeInclusive<u64>, visit: Visit<'_>) -> Result<(), StoreError> {
        match visit {
            Visit::InOrder(each) => {
                let mut piece = Piece::default();
                for number in numbers {
                    let read = self.reader.read(number, &mut piece);
                    read.map_err(|fault| self.refuse(number, fault))?;
                    piece.entries().map(appended).for_each(&mut *each);
                }
            }
            Visit::NewestFirst(shards, reading, each) => {
                let reader = SegmentReader { shards, ..self.reader };
                let all = newest_first(reader, numbers.clone(), reading, each);
                for (number, read) in numbers.zip(all) {
                    read.map_err(|fault| self.refuse(number, fault))?;
                }
            }
        }
        Ok(())
    }

    /// Whether a segment begins where the frames before it end. After `--recover-from` it may begin
    /// at a later generation and epoch.
    fn follows(&self, header: &SegmentHeader) -> bool {
        let (before, now) = (header.before, self.found.history);
        before.sequence == now.sequence
            && before.generation >= now.generation
            && before.epoch >= now.epoch
    }

    /// Takes in the good frames of a segment up to the limit, and says how they end; `None` if
    /// nothing of it is good.
    fn good_part(&mut self, number: u64, first: bool) -> Option<Ending> {
        let read = self.reader.read(number, &mut Piece::default()).ok()?;
        let Segment { header, history, last, ending, letters } = read;
        if first {
            self.found.history = header.before;
        }
        if !self.follows(&header) || header.before.epoch > self.reader.limit {
            return None;
        }
        if last.is_some() {
            self.found.history = history;
        }
        self.index.apply(letters);
        self.found.log_bytes += last.map_or(0, |last| block_end(last.end));
        self.found.tail = Some(Tail { header, last });
        Some(ending)
    }

    /// What is behind the kept frames goes; generation and epoch go on above all of it.
    fn give_up(&mut self, heads: &[SegmentHeader]) {
        let kept = self.found.history;
        let cut = self.found.tail.as_ref().map(|tail| tail.header.number);
        let segments = self.numbers.iter().copied().filter(|number| Some(*number) > cut).collect();
        let mut given_up = Cut { segments, epochs: 0 };
        let (mut highest, mut bytes) = (kept, Vec::new());
        for header in heads.iter().filter(|header| Some(header.number) >= cut) {
            if self.reader.bytes(header.number, &mut bytes).is_err() {
                continue;
            }
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

    /// Why a segment of which nothing can be read stops the start.
    fn refuse(&self, number: u64, fault: Fault) -> StoreError {
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

/// The answer when giving up what was asked for is not enough.
fn refused(what: &str) -> StoreError {
    let why = format!("the log cannot be recovered from that epoch: {what}; restore a copy of it");
    StoreError::Refused { why }
}
