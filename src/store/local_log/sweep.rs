//! When the workers are asked to write everything again, and what may go once they have (laws D2,
//! D10). Pure: numbers in, decisions out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use twinflow_operators::store::{SweepOrder, Swept};

use super::mistakes::{Mistake, Mistakes};

/// A sweep begins at the earliest when the log has grown by this many segments.
const SEGMENTS_MIN: u64 = 4;

/// Bytes that a worker rewrites at least in an epoch that takes part in a sweep.
const BYTES_MIN: usize = 8 << 10;

/// The same when nothing else can go on before the sweep is done.
const BYTES_MIN_URGENT: usize = 1 << 20;

/// The sweeps of one generation, on the log thread.
#[derive(Debug)]
pub(super) struct Sweeps {
    workers: usize,
    segment_bytes: u64,
    mistakes: Mistakes,
    /// What the last complete sweep wrote: about as much as is alive.
    live_bytes: u64,
    /// Bytes of the log since that sweep began, without those of the sweep.
    changed_bytes: u64,
    number: u64,
    active: Option<Active>,
}

/// A sweep that is not complete.
#[derive(Debug)]
struct Active {
    /// Segments before this one hold nothing that is needed once the sweep is complete.
    first_segment: u64,
    swept_bytes: u64,
    changed_bytes: u64,
    /// Per worker: its twins are done, its ledger is done.
    done: Vec<(bool, bool)>,
}

/// A sweep that is durable in whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complete {
    /// The first segment that is needed.
    pub(super) first_segment: u64,
    /// What the sweep wrote.
    pub(super) live_bytes: u64,
}

impl Sweeps {
    /// No sweep yet; `log_bytes` is how long the log was found, `live_bytes` how much of it the
    /// last complete sweep wrote.
    pub(super) fn new(
        workers: usize,
        segment_bytes: u64,
        (live_bytes, log_bytes): (u64, u64),
        mistakes: Mistakes,
    ) -> Self {
        let changed_bytes = log_bytes.saturating_sub(live_bytes);
        Self {
            workers,
            segment_bytes,
            mistakes,
            live_bytes,
            changed_bytes,
            number: 0,
            active: None,
        }
    }

    /// Whether a sweep is due (law D10).
    pub(super) fn is_due(&self) -> bool {
        let least = self.live_bytes.max(SEGMENTS_MIN * self.segment_bytes);
        self.active.is_none() && self.changed_bytes > least
    }

    /// Whether a sweep would give room back, if there is too little.
    pub(super) fn is_worth_it(&self) -> bool {
        let least = (self.live_bytes / 4).max(self.segment_bytes);
        self.active.is_none() && self.changed_bytes > least
    }

    /// Bytes that the sweep that is under way, or the next one, has to write at the most: what was
    /// alive, and all that has changed since.
    pub(super) fn left_bytes(&self) -> u64 {
        let swept = self.active.as_ref().map_or(0, |active| active.swept_bytes);
        (self.live_bytes + self.changed_bytes).saturating_sub(swept)
    }

    /// Segments that the log comes to before the next sweep is complete: what may change before
    /// it, what the last one wrote and this one writes, with the changes meanwhile, and the two
    /// ends.
    pub(super) fn segments_most(&self) -> u64 {
        let swept = self.active.as_ref().map_or(0, |active| active.swept_bytes);
        let live = self.live_bytes.max(swept);
        let most = live.max(SEGMENTS_MIN * self.segment_bytes) + 2 * live + live / 2;
        most.div_ceil(self.segment_bytes) + 2
    }

    /// Begins a sweep. Everything up to `epoch` is durable in `segment` and earlier ones.
    pub(super) fn begin(&mut self, segment: u64, epoch: u64) -> SweepOrder {
        self.number += 1;
        self.active = Some(Active {
            first_segment: segment,
            swept_bytes: 0,
            changed_bytes: 0,
            done: vec![(false, false); self.workers],
        });
        SweepOrder { number: self.number, since: epoch + 1, bytes_min: BYTES_MIN, urgent: false }
    }

    /// A group is durable: its length, and what the parts in it say, with their workers.
    pub(super) fn wrote(
        &mut self,
        length: u64,
        parts: impl IntoIterator<Item = (usize, Swept)>,
    ) -> Option<Complete> {
        let mut changed = length;
        for (worker, swept) in parts {
            changed = changed.saturating_sub(swept.bytes);
            let Some(active) = self.active.as_mut().filter(|_| swept.number == self.number) else {
                continue;
            };
            active.swept_bytes += swept.bytes;
            active.done[worker].0 |= swept.twins_done;
            active.done[worker].1 |= swept.ledger_done;
        }
        self.changed_bytes += changed;
        let active = self.active.as_mut()?;
        active.changed_bytes += changed;
        let ledger_too = !self.mistakes.has(Mistake::SweepWithoutLedger);
        let is_done = |done: &(bool, bool)| done.0 && (done.1 || !ledger_too);
        let all = if self.mistakes.has(Mistake::SweepOfOneWorker) {
            active.done.iter().any(is_done)
        } else {
            active.done.iter().all(is_done)
        };
        if !all {
            return None;
        }
        (self.live_bytes, self.changed_bytes) = (active.swept_bytes, active.changed_bytes);
        let first_segment = active.first_segment;
        self.active = None;
        Some(Complete { first_segment, live_bytes: self.live_bytes })
    }
}

/// The order that the workers see.
#[derive(Debug, Default)]
pub(super) struct Orders {
    number: AtomicU64,
    order: Mutex<Option<SweepOrder>>,
}

impl Orders {
    /// What is wanted from now on, if anything.
    pub(super) fn set(&self, order: Option<SweepOrder>) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.number.store(order.map_or(0, |order| order.number), Ordering::Release);
    }

    /// Says whether nothing else can go on before the sweep is done.
    pub(super) fn set_urgent(&self, urgent: bool) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = order.as_mut() {
            order.urgent = urgent;
            order.bytes_min = if urgent { BYTES_MIN_URGENT } else { BYTES_MIN };
        }
    }

    /// What is wanted now; one load while nothing is.
    pub(super) fn get(&self) -> Option<SweepOrder> {
        if self.number.load(Ordering::Acquire) == 0 {
            return None;
        }
        *self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWINS: Swept = Swept { number: 1, bytes: 10, twins_done: true, ledger_done: false };
    const LEDGER: Swept = Swept { number: 1, bytes: 5, twins_done: false, ledger_done: true };

    #[test]
    fn law_d10_a_sweep_is_due_when_the_log_has_grown_by_what_is_alive_or_four_segments() {
        let mut sweeps = Sweeps::new(1, 100, (1000, 1900), Mistakes::default());
        assert_eq!((sweeps.wrote(100, []), sweeps.is_due()), (None, false));
        assert_eq!((sweeps.wrote(1, []), sweeps.is_due()), (None, true));
        let mut small = Sweeps::new(1, 100, (0, 0), Mistakes::default());
        assert_eq!((small.wrote(400, []), small.is_due()), (None, false));
        assert_eq!((small.wrote(1, []), small.is_due()), (None, true));
        small.begin(3, 7);
        assert!(!small.is_due(), "one at a time");
    }

    #[test]
    fn law_d2_a_sweep_counts_when_all_parts_of_all_workers_are_durable() {
        let mut sweeps = Sweeps::new(2, 100, (0, 0), Mistakes::default());
        assert_eq!(sweeps.begin(3, 7).since, 8);
        assert_eq!(sweeps.wrote(100, [(0, TWINS), (0, LEDGER)]), None);
        assert_eq!(sweeps.wrote(100, [(1, LEDGER)]), None);
        assert_eq!(sweeps.wrote(100, [(1, Swept { number: 9, ..TWINS })]), None, "another sweep");
        let complete = Complete { first_segment: 3, live_bytes: 30 };
        assert_eq!(sweeps.wrote(100, [(1, TWINS)]), Some(complete));
        assert_eq!(sweeps.changed_bytes, 400 - 40, "what was written since it began");
        assert_eq!(sweeps.wrote(100, [(1, TWINS)]), None);
    }

    #[test]
    fn an_order_is_seen_until_it_is_taken_back() {
        let orders = Orders::default();
        assert_eq!(orders.get(), None);
        let order = Sweeps::new(1, 1, (0, 0), Mistakes::default()).begin(1, 1);
        orders.set(Some(order));
        orders.set_urgent(true);
        let urgent = SweepOrder { urgent: true, bytes_min: BYTES_MIN_URGENT, ..order };
        assert_eq!(orders.get(), Some(urgent));
        orders.set(None);
        assert_eq!(orders.get(), None);
    }
}
