//! Which deliveries belong to which open epoch, on one worker. No timely inside.

use std::collections::VecDeque;

use twinflow_connectors::link::Receipt;

/// The deliveries of one epoch.
#[derive(Debug, Default)]
struct OpenEpoch {
    epoch: u64,
    /// Bytes of rows; 0 once they were processed.
    bytes: u64,
    /// Per slot the last receipt: receipts of a slot are cumulative.
    receipts: Vec<(u16, Receipt)>,
}

/// Open epochs and the last receipt of each slot in them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: VecDeque<OpenEpoch>,
    bytes: u64,
    spare: Vec<Vec<(u16, Receipt)>>,
}

impl Ledger {
    /// A delivery entered an epoch; epochs never go back.
    pub(crate) fn record(&mut self, epoch: u64, slot: u16, receipt: Receipt, bytes: u64) {
        if self.open.back().is_none_or(|newest| newest.epoch < epoch) {
            let receipts = self.spare.pop().unwrap_or_default();
            self.open.push_back(OpenEpoch { epoch, bytes: 0, receipts });
        }
        let newest = self.open.back_mut().expect("an epoch was just opened");
        debug_assert_eq!(newest.epoch, epoch, "epochs never go back");
        newest.bytes += bytes;
        self.bytes += bytes;
        match newest.receipts.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, last)) => *last = receipt,
            None => newest.receipts.push((slot, receipt)),
        }
    }

    /// Bytes of rows that were not processed yet.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Everything before `frontier` was processed (all, when it is empty): its rows are gone.
    pub(crate) fn processed(&mut self, frontier: Option<u64>) {
        let passed = |open: &&mut OpenEpoch| frontier.is_none_or(|at| open.epoch < at);
        for open in self.open.iter_mut().take_while(passed) {
            self.bytes -= std::mem::take(&mut open.bytes);
        }
    }

    /// Everything before `frontier` is committed (all, when it is empty): gives up its receipts,
    /// oldest epoch first.
    pub(crate) fn release(
        &mut self,
        frontier: Option<u64>,
        mut acknowledge: impl FnMut(u64, u16, Receipt),
    ) {
        self.processed(frontier);
        while let Some(open) = self.open.front() {
            if frontier.is_some_and(|at| open.epoch >= at) {
                return;
            }
            let Some(OpenEpoch { epoch, mut receipts, .. }) = self.open.pop_front() else { return };
            for (slot, receipt) in receipts.drain(..) {
                acknowledge(epoch, slot, receipt);
            }
            self.spare.push(receipts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn released(ledger: &mut Ledger, frontier: Option<u64>) -> Vec<(u64, u16, u64)> {
        let mut seen = Vec::new();
        ledger.release(frontier, |epoch, slot, receipt| seen.push((epoch, slot, receipt.0)));
        seen
    }

    #[test]
    fn law_d1_nothing_is_acknowledged_while_the_epoch_is_open() {
        let mut ledger = Ledger::default();
        ledger.record(7, 0, Receipt(1), 10);
        ledger.record(7, 0, Receipt(2), 10);
        assert_eq!(released(&mut ledger, Some(7)), []);
        assert_eq!(released(&mut ledger, Some(8)), [(7, 0, 2)]);
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn law_s4_rows_count_until_they_are_processed() {
        let mut ledger = Ledger::default();
        ledger.record(1, 0, Receipt(1), 10);
        ledger.record(2, 0, Receipt(2), 5);
        ledger.processed(Some(2));
        assert_eq!(ledger.bytes(), 5);
        assert_eq!(released(&mut ledger, None), [(1, 0, 1), (2, 0, 2)]);
    }

    proptest! {
        #[test]
        fn acknowledges_exactly_what_was_recorded_before_the_frontier(
            steps in prop::collection::vec((0u64..3, 0u16..3), 1..50),
            frontier in 0u64..120,
        ) {
            let (mut ledger, mut epoch) = (Ledger::default(), 0);
            let mut expected = std::collections::BTreeMap::new();
            for (index, (gap, slot)) in steps.iter().enumerate() {
                epoch += gap;
                ledger.record(epoch, *slot, Receipt(index as u64), 1);
                if epoch < frontier { expected.insert(*slot, index as u64); }
            }
            let mut seen = std::collections::BTreeMap::new();
            ledger.release(Some(frontier), |_, slot, receipt| { seen.insert(slot, receipt.0); });
            prop_assert_eq!(seen, expected);
        }
    }
}
