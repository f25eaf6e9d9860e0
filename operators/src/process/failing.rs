//! Notices that a model fails on most of what it gets (law P5).

/// Consecutive messages that are looked at together.
const WINDOW: u64 = 1000;

/// Messages of one model on one worker, in windows of 1,000.
#[derive(Debug, Default)]
pub(super) struct Failing {
    seen: u64,
    failed: u64,
}

impl Failing {
    /// Counts an epoch; `true` when more than half of a window failed.
    pub(super) fn count(&mut self, seen: u64, failed: u64) -> bool {
        self.seen += seen;
        self.failed += failed;
        let most_failed = self.failed > WINDOW / 2 && self.failed * 2 > self.seen.max(WINDOW);
        if most_failed || self.seen >= WINDOW {
            *self = Self::default();
        }
        most_failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_p5_more_than_half_of_a_thousand_is_noticed_and_half_is_not() {
        let mut failing = Failing::default();
        assert!(!failing.count(1000, 500));
        assert!(!failing.count(499, 499));
        assert!(!failing.count(1, 1));
        assert!(failing.count(1, 1), "501 of at most 1,000 failed");
        assert!(!failing.count(501, 500), "a new window has begun");
        assert!(Failing::default().count(4096, 2049));
        assert!(!Failing::default().count(4096, 2048));
    }
}
