//! What worker threads count, each in a place of its own, added up at the end.
//!
//! Estimate: a lock that nobody else takes costs 10-15 ns; W1 takes it for one message in 41, W2
//! for one in ten, W3 for each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::models::Tally;

/// More than one machine's workers; threads beyond share a place, which is slower and right.
const STRIPES: usize = 64;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// A place in memory that no other thread's place shares a cache line with.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Stripe(Mutex<Tally>);

/// The tallies of all threads.
#[derive(Debug)]
pub(super) struct Stripes(Vec<Stripe>);

impl Default for Stripes {
    fn default() -> Self {
        Self(std::iter::repeat_with(Stripe::default).take(STRIPES).collect())
    }
}

impl Stripes {
    /// Counts in this thread's place.
    #[inline]
    pub(super) fn with<R>(&self, count: impl FnOnce(&mut Tally) -> R) -> R {
        let stripe = &self.0[STRIPE.with(|stripe| *stripe)];
        count(&mut stripe.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at all places, one after the other.
    pub(super) fn each(&self, mut look: impl FnMut(&Tally)) {
        for stripe in &self.0 {
            look(&stripe.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_for_themselves_and_are_added_up() {
        let stripes = Stripes::default();
        std::thread::scope(|scope| {
            for thread in 1..=3 {
                let stripes = &stripes;
                scope.spawn(move || stripes.with(|tally| tally.check.add(thread)));
            }
        });
        let mut check = crate::check::Check::default();
        stripes.each(|tally| check.merge(tally.check));
        assert_eq!(check.to_string(), "3:0000000000000006");
    }
}
