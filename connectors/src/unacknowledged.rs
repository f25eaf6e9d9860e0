//! A connector's queue from receipts to its own positions.

use std::collections::VecDeque;

use crate::link::Receipt;

/// What the upstream waits for, in the order of delivery.
#[derive(Debug)]
pub struct Unacknowledged<P>(VecDeque<(Receipt, P)>);

impl<P> Default for Unacknowledged<P> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<P> Unacknowledged<P> {
    /// Notes that `receipt` stands for `position`.
    pub fn push(&mut self, receipt: Receipt, position: P) {
        self.0.push_back((receipt, position));
    }

    /// Takes out everything up to and including `receipt`, oldest first.
    pub fn up_to(&mut self, receipt: Receipt) -> impl Iterator<Item = (Receipt, P)> {
        let done = self.0.partition_point(|(waiting, _)| *waiting <= receipt);
        self.0.drain(..done)
    }

    /// The position of a delivery that still waits.
    pub fn get_mut(&mut self, receipt: Receipt) -> Option<&mut P> {
        let index = self.0.binary_search_by_key(&receipt, |(waiting, _)| *waiting).ok()?;
        self.0.get_mut(index).map(|(_, position)| position)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_exactly_what_is_at_or_before_the_receipt() {
        let mut waiting = Unacknowledged::default();
        for (receipt, packet) in [(3, 'a'), (4, 'b'), (7, 'c')] {
            waiting.push(Receipt(receipt), packet);
        }
        assert_eq!(waiting.up_to(Receipt(2)).count(), 0);
        let done: Vec<_> = waiting.up_to(Receipt(6)).map(|(_, packet)| packet).collect();
        assert_eq!(done, ['a', 'b']);
        assert_eq!(waiting.get_mut(Receipt(7)), Some(&mut 'c'));
        assert_eq!(waiting.len(), 1);
    }
}
