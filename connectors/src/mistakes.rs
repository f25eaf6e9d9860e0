//! Mistakes that the simulation plants in the shipped code, to see them caught. A build without the
//! feature `testing` has none of them, and asking costs nothing there.

#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU8, Ordering};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mistake {
    /// An epoch counts as soon as it is handed to the store.
    AcknowledgeBeforeDurable = 1,
    /// Feedback leaves when its epoch is processed.
    FeedbackBeforeCommit,
    /// The last stored position of a partition counts, not the largest (law D3).
    PositionsByLast,
    /// What was taken before is taken again (law S2).
    NoReplayFilter,
    /// A later frame proves nothing, nor does the marker: damage counts as a write that was cut off
    /// (law D7).
    ProofNotLookedAt,
    /// A sweep leaves the ids of messages out (laws D2, D5).
    IdsNotSwept,
    /// A generation does not look whether another one has taken over.
    FencedGoesOn,
    /// A start takes its generation when it has read the log, not before.
    ClaimAfterReading,
    /// A new segment takes the place of another one with its number.
    SegmentsReplaced,
    /// Whatever an older generation wrote late counts, too.
    LateFramesCount,
    /// States that are owed to a group are written when the next one has changed them.
    StatesWrittenLate,
}

#[cfg(feature = "testing")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a mistake in the whole process, or takes it out again.
#[cfg(feature = "testing")]
pub fn plant(mistake: Option<Mistake>) {
    PLANTED.store(mistake.map_or(0, |mistake| mistake as u8), Ordering::SeqCst);
}

/// Whether a mistake is made: never, unless a test planted it.
#[cfg(feature = "testing")]
pub fn has(mistake: Mistake) -> bool {
    PLANTED.load(Ordering::Relaxed) == mistake as u8
}

/// Whether a mistake is made: never.
#[cfg(not(feature = "testing"))]
pub const fn has(_: Mistake) -> bool {
    false
}
