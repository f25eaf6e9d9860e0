//! Which segments count, and how far. Pure: headers in, decisions out.
//!
//! Each segment says behind which frame it begins. What an older one holds behind that frame was
//! written late, by a process that had been fenced, and nobody was told of it. An older one that
//! begins there, or later, is replaced by it in whole.

use twinflow_operators::mistakes::{self, Mistake};

/// A segment that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) number: u64,
    /// Sequence of the last frame in it that counts; for the newest the largest number.
    pub(super) until: u64,
}

impl Counted {
    /// Whether it is the newest: only that one may end with a write that was cut off.
    pub(super) fn is_newest(&self) -> bool {
        self.until == u64::MAX
    }
}

/// What counts of these segments, the oldest first; each is given with the sequence of the frame
/// before it, as its header says. One whose header cannot be read counts for nothing: where it is
/// needed, frames are missing.
pub(super) fn counted(segments: &[(u64, Option<u64>)]) -> Vec<Counted> {
    let (mut all, mut until) = (Vec::new(), u64::MAX);
    for (number, before) in segments.iter().rev() {
        if let Some(before) = before.filter(|before| *before < until) {
            all.push(Counted { number: *number, until });
            until = before;
        }
    }
    if mistakes::has(Mistake::LateFramesCount) {
        all.iter_mut().for_each(|counted| counted.until = u64::MAX);
    }
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(segments: &[(u64, Option<u64>)]) -> Vec<(u64, u64)> {
        counted(segments).iter().map(|counted| (counted.number, counted.until)).collect()
    }

    const END: u64 = u64::MAX;

    #[test]
    fn each_segment_counts_up_to_the_frame_behind_which_the_next_begins() {
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(1, Some(0))]), [(1, END)]);
        assert_eq!(of(&[(3, Some(5)), (4, Some(9)), (5, Some(12))]), [(3, 9), (4, 12), (5, END)]);
    }

    #[test]
    fn a_copy_replaces_what_it_was_made_of_and_all_that_came_late() {
        let copied = [(3, Some(5)), (4, Some(9)), (5, Some(9))];
        assert_eq!(of(&copied), [(3, 9), (5, END)]);
        let copied_twice = [(3, Some(5)), (4, Some(9)), (5, Some(9)), (6, Some(9)), (7, Some(20))];
        assert_eq!(of(&copied_twice), [(3, 9), (6, 20), (7, END)]);
        let late = [(3, Some(5)), (5, Some(15)), (6, Some(9))];
        assert_eq!(of(&late), [(3, 9), (6, END)]);
        let given_up = [(3, Some(5)), (4, Some(9)), (5, Some(14)), (6, Some(5))];
        assert_eq!(of(&given_up), [(6, END)]);
    }

    #[test]
    fn a_header_that_cannot_be_read_leaves_a_gap_if_it_was_needed() {
        assert_eq!(of(&[(3, Some(5)), (4, None), (5, Some(12))]), [(3, 12), (5, END)]);
    }
}
