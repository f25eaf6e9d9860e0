//! Which message numbers somebody has: a set kept as ranges, so that a long run stays small.

use serde::{Deserialize, Serialize};

/// A set of numbers, as sorted ranges `[first, last]` that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// Adds a number; `false` when it was there.
    pub fn insert(&mut self, number: u64) -> bool {
        let ranges = &mut self.0;
        let at = ranges.partition_point(|(_, last)| *last < number);
        if ranges.get(at).is_some_and(|(first, _)| *first <= number) {
            return false;
        }
        let follows = at > 0 && ranges[at - 1].1 + 1 == number;
        let precedes = ranges.get(at).is_some_and(|(first, _)| *first - 1 == number);
        match (follows, precedes) {
            (true, true) => ranges[at - 1].1 = ranges.remove(at).1,
            (true, false) => ranges[at - 1].1 = number,
            (false, true) => ranges[at].0 = number,
            (false, false) => ranges.insert(at, (number, number)),
        }
        true
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of these numbers the other set has, too.
    pub fn common(&self, other: &Self) -> u64 {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = 0;
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            common += (last + 1).saturating_sub(first);
            if a.1 <= b.1 { &mut ours } else { &mut theirs }.next();
        }
        common
    }

    /// How many of these numbers are at most `last`.
    pub fn up_to(&self, last: u64) -> u64 {
        self.common(&Self(vec![(0, last)]))
    }

    /// How many of these numbers the other set lacks.
    pub fn missing_in(&self, other: &Self) -> u64 {
        self.len() - self.common(other)
    }
}

impl FromIterator<u64> for Numbers {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_order_are_one_range_and_a_hole_makes_two() {
        let numbers: Numbers = (1..=9).filter(|number| *number != 4).collect();
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[[1,3],[5,9]]");
        assert_eq!(numbers.len(), 8);
    }

    proptest! {
        #[test]
        fn it_is_the_set_that_the_standard_library_has(
            ours in prop::collection::vec(0u64..40, 0..40),
            theirs in prop::collection::vec(0u64..40, 0..40),
        ) {
            let (mut set, mut known) = (Numbers::default(), BTreeSet::new());
            for number in &ours {
                prop_assert_eq!(set.insert(*number), known.insert(*number));
            }
            let other: Numbers = theirs.iter().copied().collect();
            let others: BTreeSet<_> = theirs.into_iter().collect();
            prop_assert_eq!(set.len(), known.len() as u64);
            prop_assert_eq!(set.is_empty(), known.is_empty());
            prop_assert_eq!(set.common(&other), known.intersection(&others).count() as u64);
            prop_assert_eq!(set.missing_in(&other), known.difference(&others).count() as u64);
            prop_assert_eq!(set.up_to(20), known.range(..=20).count() as u64);
            prop_assert!(set.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
