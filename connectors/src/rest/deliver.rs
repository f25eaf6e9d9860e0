//! From the messages of a request to deliveries, and to what became of each message.

use std::{ops::Range, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    gate::Gate,
    problem::Problem,
    replies::Replies,
    service::Service,
    waiters::{Part, Waiter},
};
use crate::{
    answer::StoredAnswer,
    link::OutcomeKind,
    message::{Message, Timestamp},
};

/// Time that a request waits for room before it gets 429.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// One message of a request.
#[derive(Debug)]
pub(super) struct Item<'b> {
    pub(super) model: &'b str,
    pub(super) twin: &'b str,
    pub(super) id: Option<String>,
    pub(super) time: Option<Timestamp>,
    pub(super) payload: &'b [u8],
}

/// What became of one message.
#[derive(Debug)]
pub(super) enum Fate {
    /// Processed and committed; merged: the feedback of its call went to another request.
    Applied { epoch: u64, merged: bool },
    /// Became a dead letter.
    Failed { epoch: u64, dead_letter: u64, reason: String },
    /// Its id was applied before.
    Repeated(StoredAnswer),
    /// Its id is being applied.
    InProgress,
    /// Its id came before with another body.
    OtherBody,
    /// Taken, and not known to be committed.
    Unknown,
    /// Not taken.
    Refused { status: u16, reason: String },
}

/// What became of the messages of a request.
#[derive(Debug)]
pub(super) struct Fates {
    /// One for each message.
    pub(super) of: Vec<Fate>,
    /// The feedback that each delivery brought, with the messages of that delivery.
    pub(super) replies: Vec<(Range<usize>, Replies)>,
}

/// Delivers messages in their order and waits for their commit until `deadline`.
///
/// # Errors
///
/// The problem when not even the first delivery was taken.
pub(super) async fn deliver(
    service: &Service,
    gate: &Gate,
    items: &[Item<'_>],
    deadline: Instant,
) -> Result<Fates, Problem> {
    let mut made = Vec::new();
    let mut refused = None;
    let mut next = 0;
    let mut room_until = deadline.min(Instant::now() + ROOM_WAIT);
    while next < items.len() {
        match deliver_some(service, gate, &items[next..], room_until).await {
            Ok((taken, waiter)) => {
                made.push((next..next + taken, waiter));
                next += taken;
            }
            Err(problem) if next == 0 => return Err(problem),
            Err(problem) => {
                refused = Some(problem);
                break;
            }
        }
        // A request that was taken in part waits for the rest as long as for its answer.
        room_until = deadline;
    }
    let mut fates = Fates { of: Vec::with_capacity(items.len()), replies: Vec::new() };
    for (range, waiter) in made {
        match timeout_at(deadline, waiter.outcome()).await {
            Ok(Some(part)) => fates.add(range, part),
            Ok(None) | Err(_) => fates.of.extend(range.map(|_| Fate::Unknown)),
        }
    }
    if let Some(problem) = refused {
        let fate =
            || Fate::Refused { status: problem.status(), reason: problem.detail().to_owned() };
        fates.of.resize_with(items.len(), fate);
    }
    Ok(fates)
}

/// One delivery with as many of the messages as fit: how many, and who waits for it.
async fn deliver_some(
    service: &Service,
    gate: &Gate,
    items: &[Item<'_>],
    room_until: Instant,
) -> Result<(usize, Waiter), Problem> {
    let full = || {
        let secs = gate.rate.retry_after_secs(service.settings.retry_after_max_secs);
        let detail = "more messages wait than can be taken; try again later";
        Problem::new(429, "full", detail).retry_after(secs)
    };
    let closed = || {
        let detail = "the engine has closed this connection's session; nothing was taken";
        Problem::new(503, "session-closed", detail).retry_after(1)
    };
    let intake = timeout_at(room_until, gate.intake.lock()).await;
    let mut intake = intake.map_err(|_late| full())?;
    let delivery = timeout_at(room_until, intake.reserve()).await;
    let mut delivery = delivery.map_err(|_late| full())?.map_err(|_stopped| closed())?;
    let mut taken = 0;
    while let Some(item) = items.get(taken) {
        let message = Message {
            id: item.id.as_deref().map(str::as_bytes),
            source_time: item.time,
            ..Message::new(item.model, item.twin, item.payload)
        };
        if !delivery.push(&message) {
            break;
        }
        taken += 1;
    }
    // Who waits is noted before anything can be acknowledged.
    let waiter = gate.waiters.register(delivery.receipt()).ok_or_else(closed)?;
    gate.rate.delivered(delivery.deliver().0);
    Ok((taken, waiter))
}

impl Fates {
    fn add(&mut self, range: Range<usize>, part: Part) {
        let Part { epoch, replies, rejected, outcomes } = part;
        let start = self.of.len();
        self.of.extend(range.clone().map(|_| Fate::Applied { epoch, merged: false }));
        for (index, kind) in outcomes {
            let fate = match kind {
                OutcomeKind::Merged => Fate::Applied { epoch, merged: true },
                OutcomeKind::Repeated(bytes) => Fate::Repeated(stored(&bytes, epoch)),
                OutcomeKind::KeyInProgress => Fate::InProgress,
                OutcomeKind::KeyOtherBody => Fate::OtherBody,
                // Answers to the engine's own requests, which never come by this link.
                OutcomeKind::State(_)
                | OutcomeKind::Created(_)
                | OutcomeKind::Removed(_)
                | OutcomeKind::Released(_)
                | OutcomeKind::DeadLetterGone(_) => continue,
            };
            self.set(start, index, fate);
        }
        for (index, dead_letter, reason) in rejected {
            self.set(start, index, Fate::Failed { epoch, dead_letter, reason });
        }
        self.replies.push((range, replies));
    }

    fn set(&mut self, start: usize, index: u32, fate: Fate) {
        if let Some(of) = self.of.get_mut(start + index as usize) {
            *of = fate;
        }
    }
}

fn stored(bytes: &[u8], epoch: u64) -> StoredAnswer {
    StoredAnswer::decode(bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "a stored answer cannot be read; answering without its replies");
        StoredAnswer::applied(epoch)
    })
}
