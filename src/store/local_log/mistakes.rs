//! Mistakes that tests plant in the shipped code, to see them caught. Nothing of them is in a
//! build that is no test of this crate.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A sweep counts when one worker has done its part.
    SweepOfOneWorker,
    /// A sweep counts without positions and outboxes.
    SweepWithoutLedger,
    /// A sweep counts when its last part is handed over, before that is durable.
    SweepBeforeSync,
    /// Old segments go when the sweep counts, before a segment that says so is durable.
    RetireBeforeHeader,
    /// A dead letter that was dropped is written again by a sweep.
    DroppedLetterKept,
}

/// Which mistake is made: none, unless a test says so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mistakes {
    #[cfg(test)]
    pub(super) planted: Option<Mistake>,
}

impl Mistakes {
    #[cfg(test)]
    pub(super) fn has(self, mistake: Mistake) -> bool {
        self.planted == Some(mistake)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in a test it says which mistake is planted")]
    pub(super) const fn has(self, _: Mistake) -> bool {
        false
    }
}
