//! When the next message falls due, and how to wait for it more finely than a runtime's timer.

use std::time::Duration;

use tokio::time::Instant;

use super::Due;

/// The timer of the runtime counts whole milliseconds; what is nearer is waited for in naps.
const TIMER: Duration = Duration::from_millis(2);

/// The longest time that a nap holds the runtime's thread.
const NAP_MAX: Duration = Duration::from_micros(20);

/// How many messages are due now, or how long until one is.
pub(super) enum Pace {
    Due(u64),
    Later(Duration),
}

/// Looks from message `next` on, at most `most` messages ahead.
pub(super) fn pace(due: Option<&Due>, start: Instant, next: u64, most: u64) -> Pace {
    let Some(due) = due else {
        return Pace::Due(most);
    };
    let elapsed = Instant::now().saturating_duration_since(start);
    let count = (next..next + most).take_while(|index| due(*index) <= elapsed).count() as u64;
    if count == 0 { Pace::Later(due(next).saturating_sub(elapsed)) } else { Pace::Due(count) }
}

/// Waits for at most `wait`, rather less; the caller looks again.
pub(super) async fn nap(wait: Duration) {
    if wait > TIMER {
        tokio::time::sleep(wait - TIMER).await;
    } else {
        // Shorter than what a runtime calls blocking, and then everybody else has a turn.
        std::thread::sleep(wait.min(NAP_MAX));
        tokio::task::yield_now().await;
    }
}
