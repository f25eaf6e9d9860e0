//! What is kept of a damaged log, when a person gives up the rest (`--recover-from`).

use twinflow_operators::store::{Piece, StoreError};

use super::chain::Counted;
use super::dead_letters::appended;
use super::format::{FrameKind, SegmentHeader, block_end};
use super::history::{Ending, History};
use super::readers::newest_first;
use super::replay::{Cut, Found, Judge, Tail, Visit};
use super::segment::{Segment, SegmentReader, heads_of};

impl Judge<'_> {
    /// Everything up to an epoch, or the damage before it.
    pub(super) fn until(mut self, limit: u64, visit: Visit<'_>) -> Result<Found, StoreError> {
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
        let mut segments = self.counted(first);
        if segments.first().is_some_and(|segment| segment.number != first) {
            segments.clear();
        }
        let (mut ending, mut good) = (Ending::Whole, 0);
        while matches!(ending, Ending::Whole | Ending::Torn { cut: false, .. })
            && let Some(segment) = segments.get(good)
            && let Some(ends) = self.good_part(*segment, good == 0)
        {
            (ending, good) = (ends, good + 1);
        }
        segments.truncate(good);
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
        self.give(&segments, visit)?;
        self.give_up(&heads);
        if let Some(tail) = &mut self.found.tail {
            (tail.header.first_segment, tail.header.live_bytes) = (first, newest.live_bytes);
        }
        Ok(self.found)
    }

    /// Gives the entries of segments of which the good part is known to be kept.
    fn give(&self, segments: &[Counted], visit: Visit<'_>) -> Result<(), StoreError> {
        match visit {
            Visit::InOrder(each) => {
                let mut piece = Piece::default();
                for segment in segments {
                    let read = self.reader.read(*segment, &mut piece);
                    read.map_err(|fault| self.refuse(segment.number, fault))?;
                    piece.entries().map(appended).for_each(&mut *each);
                }
            }
            Visit::NewestFirst(shards, reading, each) => {
                let reader = SegmentReader { shards, ..self.reader };
                let all = newest_first(reader, segments, reading, each);
                for (segment, read) in segments.iter().zip(all) {
                    read.map_err(|fault| self.refuse(segment.number, fault))?;
                }
            }
        }
        Ok(())
    }

    /// Takes in the good frames of a segment up to the limit, and says how they end; `None` if
    /// nothing of it is good.
    fn good_part(&mut self, segment: Counted, first: bool) -> Option<Ending> {
        let read = self.reader.read(segment, &mut Piece::default());
        let judged = read.and_then(|read| self.reader.judged(segment, read));
        let Segment { header, history, last, ending, letters } = judged.ok()?;
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
        Some(if history.sequence == segment.until { Ending::Whole } else { ending })
    }

    /// What is behind the kept frames goes; generation and epoch go on above all of it.
    fn give_up(&mut self, heads: &[SegmentHeader]) {
        let kept = self.found.history;
        let cut = self.found.tail.as_ref().map(|tail| tail.header.number);
        self.found.counted.retain(|number| Some(*number) < cut);
        let behind = self.numbers.iter().copied().filter(|number| Some(*number) >= cut);
        self.found.replaced = behind.collect();
        let mut given_up = Cut::default();
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
            segments = ?self.found.replaced,
            "giving up what is behind the last epoch that is kept; at least so many epochs"
        );
        self.found.history = History { sequence: kept.sequence, ..highest };
        self.found.cut = Some(given_up);
    }
}

/// The answer when giving up what was asked for is not enough.
fn refused(what: &str) -> StoreError {
    let why = format!("the log cannot be recovered from that epoch: {what}; restore a copy of it");
    StoreError::Refused { why }
}
