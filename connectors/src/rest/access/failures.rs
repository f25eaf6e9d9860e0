//! Logins that failed, by address: five a minute are answered, counted and told, no more.
//!
//! A right key is let in from any address: nobody behind the same address can lock others out, and
//! 256 random bits are not found by trying.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::rest::address::Origin;

/// Failed logins of one address that are answered within a minute.
const PER_MINUTE: u32 = 5;

const MINUTE: Duration = Duration::from_secs(60);

/// Addresses that are remembered at the same time; while there are more, all others wait.
const ADDRESSES_MAX: usize = 10_000;

/// Between two looks for addresses whose minute is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Minute {
    since: Instant,
    failed: u32,
}

#[derive(Debug, Default)]
struct Minutes {
    of: HashMap<Origin, Minute>,
    swept: Option<Instant>,
}

/// Failed logins of the last minute, and all in number.
#[derive(Debug, Default)]
pub(super) struct Failures {
    minutes: Mutex<Minutes>,
    count: AtomicU64,
}

impl Failures {
    /// Notes one; the error is the number of seconds until one is answered again.
    pub(super) fn note(&self, from: Option<SocketAddr>) -> Result<(), u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut minutes = self.minutes.lock().expect("plain numbers");
        let Minutes { of, swept } = &mut *minutes;
        if of.len() >= ADDRESSES_MAX && swept.is_none_or(|at| now - at >= SWEEP_EVERY) {
            of.retain(|_, minute| now - minute.since < MINUTE);
            *swept = Some(now);
        }
        let origin = Origin::of(from.map(|from| from.ip()));
        if of.len() >= ADDRESSES_MAX && !of.contains_key(&origin) {
            return Err(MINUTE.as_secs());
        }
        let minute = of.entry(origin).or_insert(Minute { since: now, failed: 0 });
        if now - minute.since >= MINUTE {
            *minute = Minute { since: now, failed: 0 };
        }
        if minute.failed >= PER_MINUTE {
            return Err((MINUTE - (now - minute.since)).as_secs() + 1);
        }
        minute.failed += 1;
        Ok(())
    }

    /// All since the start.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn s20_five_a_minute_for_each_address_and_bounded() {
        let failures = Failures::default();
        let from = |ip: &str| Some(SocketAddr::new(ip.parse().unwrap(), 1));
        for _ in 0..5 {
            assert_eq!(failures.note(from("10.0.0.1")), Ok(()));
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(failures.note(from("10.0.0.1")), Err(41));
        assert_eq!(failures.note(from("10.0.0.2")), Ok(()));
        tokio::time::advance(Duration::from_secs(41)).await;
        assert_eq!(failures.note(from("10.0.0.1")), Ok(()));
        assert_eq!(failures.count(), 8);
        for n in 0..2 * ADDRESSES_MAX {
            let ip = std::net::Ipv4Addr::from_bits(n as u32).to_string();
            let noted = failures.note(from(&ip));
            assert_eq!(noted.is_ok(), n < ADDRESSES_MAX - 2, "{n}");
        }
        assert!(failures.minutes.lock().unwrap().of.len() <= ADDRESSES_MAX);
    }
}
