//! One slot's open session, as the HTTP handlers use it.

use std::{
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::{replies::Home, service::Service, waiters::Waiters};
use crate::link::{LinkEvent, LinkEvents, LinkIntake};

/// The intake of a slot, shared by all requests that choose it, and who waits for its deliveries.
#[derive(Debug)]
pub(super) struct Gate {
    /// The worker that takes its deliveries.
    pub(super) worker: usize,
    pub(super) intake: Mutex<LinkIntake>,
    pub(super) waiters: Arc<Waiters>,
    /// The engine asked to read no more.
    pub(super) draining: AtomicBool,
    pub(super) rate: DrainRate,
}

impl Gate {
    pub(super) fn new(intake: LinkIntake, home: Home) -> Arc<Self> {
        Arc::new(Self {
            worker: intake.worker().0,
            intake: Mutex::new(intake),
            waiters: Waiters::new(Arc::new(home)),
            draining: AtomicBool::new(false),
            rate: DrainRate::new(),
        })
    }

    /// Passes on what became of deliveries, until the session is over.
    pub(super) async fn follow(&self, events: &mut LinkEvents, service: &Service) {
        loop {
            match events.next().await {
                LinkEvent::Send(feedback) => self.waiters.feedback(feedback),
                LinkEvent::Rejected { receipt, index, dead_letter, reason } => {
                    self.waiters.rejected(receipt, index, dead_letter, reason);
                }
                LinkEvent::Outcome { receipt, index, kind } => {
                    self.waiters.outcome(receipt, index, kind);
                }
                LinkEvent::Acknowledged { up_to, epoch } => {
                    self.rate.acknowledged(up_to.0);
                    self.waiters.acknowledged(up_to, epoch);
                }
                LinkEvent::Drain => {
                    self.draining.store(true, Ordering::Release);
                    service.mailboxes.wake_all();
                }
                LinkEvent::Stop => return,
            }
        }
    }
}

/// Time over which a rate is measured at least.
const RATE_WINDOW: Duration = Duration::from_millis(500);

/// How fast a slot's deliveries are acknowledged, for `Retry-After`.
#[derive(Debug)]
pub(super) struct DrainRate {
    delivered: AtomicU64,
    window: StdMutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    /// Acknowledged when the window began, and the newest.
    first: u64,
    last: u64,
    per_sec: f64,
}

impl DrainRate {
    fn new() -> Self {
        let window = Window { since: Instant::now(), first: 0, last: 0, per_sec: 0.0 };
        Self { delivered: AtomicU64::new(0), window: StdMutex::new(window) }
    }

    /// Notes the newest delivery.
    pub(super) fn delivered(&self, receipt: u64) {
        let first = self.delivered.swap(receipt, Ordering::Relaxed) == 0;
        if first {
            let mut window = self.window.lock().expect("plain numbers");
            (window.first, window.last) = (receipt - 1, window.last.max(receipt - 1));
        }
    }

    fn acknowledged(&self, receipt: u64) {
        let mut window = self.window.lock().expect("plain numbers");
        window.last = window.last.max(receipt);
        window.turn();
    }

    /// Seconds until what is delivered now will be acknowledged, 1 to `most`.
    pub(super) fn retry_after_secs(&self, most: u64) -> u64 {
        let mut window = self.window.lock().expect("plain numbers");
        window.turn();
        let open = self.delivered.load(Ordering::Relaxed).saturating_sub(window.last);
        let secs = (open as f64 / window.per_sec).ceil();
        if secs.is_finite() { (secs as u64).clamp(1, most) } else { most }
    }
}

impl Window {
    fn turn(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed >= RATE_WINDOW {
            let measured = (self.last - self.first) as f64 / elapsed.as_secs_f64();
            self.per_sec =
                if self.per_sec == 0.0 { measured } else { f64::midpoint(self.per_sec, measured) };
            (self.since, self.first) = (Instant::now(), self.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retry_after_follows_the_measured_rate() {
        let rate = DrainRate::new();
        assert_eq!(rate.retry_after_secs(30), 30, "nothing was acknowledged: no rate");
        rate.delivered(100);
        rate.delivered(180);
        tokio::time::advance(Duration::from_secs(1)).await;
        rate.acknowledged(120); // 21 a second, 60 open.
        assert_eq!(rate.retry_after_secs(30), 3);
        assert_eq!(rate.retry_after_secs(2), 2);
        rate.acknowledged(180);
        assert_eq!(rate.retry_after_secs(30), 1);
    }
}
