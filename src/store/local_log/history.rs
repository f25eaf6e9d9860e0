//! What the frames of a log say, judged in order. Pure: bytes in, verdict out.

use std::ops::Range;
use twinflow_operators::mistakes::{self, Mistake};

use super::format::{
    BLOCK, FRAME_HEAD, FrameHead, FrameKind, SegmentHeader, block_end, read_frame,
};

/// What is known after the frames that were read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Sequence of the last frame.
    pub(super) sequence: u64,
    /// Last generation.
    pub(super) generation: u64,
    /// Last epoch.
    pub(super) epoch: u64,
}

impl History {
    /// Whether this frame can be the next one.
    pub(super) fn accepts(&self, head: &FrameHead) -> bool {
        let in_order = match head.kind {
            FrameKind::Epoch => head.generation == self.generation && head.epoch > self.epoch,
            FrameKind::Seal => head.generation == self.generation && head.epoch >= self.epoch,
            FrameKind::Start => head.generation > self.generation && head.epoch >= self.epoch,
        };
        in_order && head.sequence == self.sequence + 1 && head.proven_until <= self.sequence
    }

    fn advance(&mut self, head: &FrameHead) {
        self.sequence = head.sequence;
        self.generation = head.generation;
        self.epoch = head.epoch;
    }
}

/// The last good frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastFrame {
    /// Its head.
    pub(super) head: FrameHead,
    /// Where it starts.
    pub(super) at: u64,
    /// Where it ends, padding not included.
    pub(super) end: u64,
    /// The group that it is in.
    pub(super) group: GroupStart,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupStart {
    /// The place of its first frame.
    pub(super) at: u64,
    /// What the frame before it said.
    pub(super) before: History,
}

impl LastFrame {
    /// Whether it says that everything before its group was durable when that was begun.
    pub(super) fn proves_the_rest(&self) -> bool {
        self.head.proven_until == self.group.before.sequence
    }
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With its last frame.
    Whole,
    /// Something follows the last frame that may be a write that was cut off.
    Torn {
        /// Where it begins.
        at: u64,
        /// Whether there is a frame that was cut off; else only what a recycled file held.
        cut: bool,
    },
    /// What follows the last frame was durable once, and is not what was written.
    Damaged {
        /// Where it begins.
        at: u64,
        /// Sequence of a later frame that proves it.
        proof: u64,
    },
    /// At a frame that checks, and holds something that is no entry.
    NoEntry {
        /// Where it begins.
        at: u64,
        /// Its sequence.
        sequence: u64,
    },
    /// Before a frame that is not wanted: it or its epoch is later than those that are.
    Beyond,
    /// Before something that is not the next frame; what follows that was not looked at yet.
    Unjudged {
        /// Where it begins.
        at: u64,
    },
}

/// Reads the frames of a segment in order, and moves `history`. `each` sees every frame and where
/// its body is, before it counts, and may end it there.
pub(super) fn read_segment(
    header: &SegmentHeader,
    segment: &[u8],
    history: &mut History,
    mut each: impl FnMut(&FrameHead, Range<usize>) -> Result<(), Ending>,
) -> (Option<LastFrame>, Ending) {
    let mut last = None;
    let mut at = BLOCK;
    let mut group = GroupStart { at, before: *history };
    while at < segment.len() as u64 {
        let frame = read_frame(segment, header.seed, at);
        let Some((head, body)) = frame.filter(|(head, _)| history.accepts(head)) else {
            return (last, Ending::Unjudged { at });
        };
        // It lies in a slice, so its place is a `usize`.
        let start = at as usize + FRAME_HEAD;
        if let Err(ending) = each(&head, start..start + body.len()) {
            return (last, ending);
        }
        history.advance(&head);
        let end = at + (FRAME_HEAD + body.len()) as u64;
        last = Some(LastFrame { head, at, end, group });
        at = if head.last_in_group { block_end(end) } else { end };
        if head.last_in_group {
            group = GroupStart { at, before: *history };
        }
    }
    (last, Ending::Whole)
}

/// What follows the last frame of a segment, judged by the frame heads that are found in it.
///
/// A head that checks is enough: a group is begun only when the one before it is synced. What a
/// recycled file held before has other seeds, so none of its heads checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Where it begins.
    pub(super) at: u64,
    /// Sequence of the frame that is not there.
    pub(super) lost: u64,
    cut: bool,
}

impl Rest {
    /// Nothing is known of it yet.
    pub(super) fn new(at: u64, lost: u64) -> Self {
        Self { at, lost, cut: false }
    }

    /// Takes a head at this place or at the start of a later block; gives the verdict if it proves
    /// that the lost frame was durable.
    pub(super) fn look(&mut self, head: &FrameHead) -> Option<Ending> {
        if head.proven_until >= self.lost && !mistakes::has(Mistake::ProofNotLookedAt) {
            return Some(Ending::Damaged { at: self.at, proof: head.sequence });
        }
        self.cut |= head.sequence >= self.lost;
        None
    }

    /// The verdict when nothing proves that.
    pub(super) fn torn(&self) -> Ending {
        Ending::Torn { at: self.at, cut: self.cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: FrameKind, sequence: u64, generation: u64, epoch: u64) -> FrameHead {
        FrameHead {
            kind,
            last_in_group: true,
            sequence,
            proven_until: sequence - 1,
            generation,
            epoch,
            entries: 0,
            body_len: 0,
            body_check: 0,
        }
    }

    #[test]
    fn frames_follow_each_other_without_a_gap_and_never_go_back() {
        let history = History { sequence: 5, generation: 2, epoch: 10 };
        assert!(history.accepts(&head(FrameKind::Epoch, 6, 2, 11)));
        assert!(history.accepts(&head(FrameKind::Epoch, 6, 2, 15)), "empty epochs have no frame");
        assert!(history.accepts(&head(FrameKind::Seal, 6, 2, 10)));
        assert!(history.accepts(&head(FrameKind::Start, 6, 3, 10)));
        for wrong in [
            FrameHead { proven_until: 5, ..head(FrameKind::Epoch, 7, 2, 11) },
            FrameHead { proven_until: 4, ..head(FrameKind::Epoch, 5, 2, 11) },
            head(FrameKind::Epoch, 6, 2, 10),
            head(FrameKind::Epoch, 6, 3, 11),
            head(FrameKind::Epoch, 6, 1, 11),
            head(FrameKind::Seal, 6, 3, 10),
            head(FrameKind::Start, 6, 2, 10),
            head(FrameKind::Start, 6, 3, 9),
            FrameHead { proven_until: 6, ..head(FrameKind::Epoch, 6, 2, 11) },
        ] {
            assert!(!history.accepts(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_log_begins_with_a_generation() {
        assert!(History::default().accepts(&head(FrameKind::Start, 1, 1, 0)));
        assert!(!History::default().accepts(&head(FrameKind::Epoch, 1, 1, 1)));
    }
}
