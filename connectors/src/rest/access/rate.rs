//! How often one key may ask: a bucket that fills with time.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

/// Holds two seconds' worth; a request takes one.
#[derive(Debug)]
pub(super) struct Bucket {
    per_sec: u32,
    /// When it would be full, as if it had filled all the time.
    full_at: Mutex<Option<Instant>>,
}

/// So much may be taken at once.
const BURST: Duration = Duration::from_secs(2);

impl Bucket {
    pub(super) fn new(per_sec: u32) -> Self {
        Self { per_sec: per_sec.max(1), full_at: Mutex::default() }
    }

    /// Takes one, or says in how many seconds there is one again.
    pub(super) fn take(&self) -> Result<(), u64> {
        let now = Instant::now();
        let mut full_at = self.full_at.lock().expect("plain times");
        let next = full_at.map_or(now, |at| at.max(now)) + Duration::from_secs(1) / self.per_sec;
        let ahead = next - now;
        if ahead > BURST {
            return Err((ahead - BURST).as_secs() + 1);
        }
        *full_at = Some(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_seconds_worth_at_once_and_then_the_rate() {
        let bucket = Bucket::new(10);
        assert_eq!((0..30).filter(|_| bucket.take().is_ok()).count(), 20);
        assert_eq!(bucket.take(), Err(1));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((0..30).filter(|_| bucket.take().is_ok()).count(), 5);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..30).filter(|_| bucket.take().is_ok()).count(), 20);
    }
}
