//! One session of one partition of buffers.

use std::ops::ControlFlow;

use super::{
    AHEAD, Shared,
    pace::{Pace, nap, pace},
};
use crate::{
    error::{ConnectorError, ErrorKind},
    link::{Delivery, Link, LinkEvent, LinkEvents},
    message::{Message, PartitionRef, limits::DELIVERY_ROWS_MAX},
    unacknowledged::Unacknowledged,
};

/// The topic of the partitions in stored positions.
const TOPIC: &str = "buffers";

pub(super) async fn run(shared: &Shared, slot: usize, link: Link) -> Result<(), ConnectorError> {
    let Link { mut intake, mut events } = link;
    let number = i32::try_from(slot).expect("partitions are few");
    let (partition, next) = intake.partition(TOPIC, number);
    let mut session = Session::new(shared, slot, partition, next.unwrap_or(0))?;
    let start = shared.progress.start();
    loop {
        while let Some(event) = events.try_next() {
            if session.tell(event, &mut events).is_break() {
                return Ok(());
            }
        }
        let left = session.end - session.next;
        if left == 0 && session.unacknowledged.is_empty() {
            return Ok(());
        }
        let most = if session.reading { left.min(DELIVERY_ROWS_MAX as u64) } else { 0 };
        let (count, wait) = match pace(shared.due.as_deref(), start, session.next, most) {
            _ if most == 0 => (0, None),
            Pace::Due(count) => (count, None),
            Pace::Later(wait) => (0, Some(wait)),
        };
        // Most turns end here: room at once, no future made, no task switched.
        if count > 0
            && let Some(delivery) = intake.try_reserve()?
        {
            session.fill(delivery, count);
            tokio::task::consume_budget().await;
            continue;
        }
        let event = tokio::select! {
            biased;
            event = events.next() => Some(event),
            permit = intake.reserve(), if count > 0 => {
                session.fill(permit?, count);
                None
            }
            () = nap(wait.unwrap_or_default()), if wait.is_some() => None,
        };
        if let Some(event) = event
            && session.tell(event, &mut events).is_break()
        {
            return Ok(());
        }
    }
}

struct Session<'s> {
    shared: &'s Shared,
    slot: usize,
    partition: PartitionRef,
    /// The next message to hand over, and where that is: buffer, and message in it.
    next: u64,
    place: (usize, usize),
    end: u64,
    /// Per delivery, how many messages of the partition are done with it.
    unacknowledged: Unacknowledged<u64>,
    reading: bool,
}

impl<'s> Session<'s> {
    fn new(
        shared: &'s Shared,
        slot: usize,
        partition: PartitionRef,
        next: u64,
    ) -> Result<Self, ConnectorError> {
        let end = shared.progress.size(slot);
        if next > end {
            let doing = format!("go on at message {next} of partition {slot}: it has {end}");
            return Err(ConnectorError::new(ErrorKind::Rejected, doing));
        }
        let (mut buffer, mut index) = (0, next as usize);
        while let Some(passed) = shared.partitions.get(slot).and_then(|all| all.get(buffer))
            && index >= passed.len()
        {
            index -= passed.len();
            buffer += 1;
        }
        let unacknowledged = Unacknowledged::default();
        let place = (buffer, index);
        Ok(Self { shared, slot, partition, next, place, end, unacknowledged, reading: true })
    }

    /// Hands over at most `count` messages.
    fn fill(&mut self, mut delivery: Delivery<'_>, count: u64) {
        let (shared, first) = (self.shared, self.next);
        let last = first + count;
        let (mut buffer, mut index) = self.place;
        'full: while let Some(open) = shared.partitions[self.slot].get(buffer) {
            while index < open.len() {
                open.ask_for(index + AHEAD);
                if self.next == last || !self.push(&mut delivery, open.get(index)) {
                    break 'full;
                }
                self.next += 1;
                index += 1;
            }
            (buffer, index) = (buffer + 1, 0);
        }
        self.place = (buffer, index);
        shared.progress.note_delivered(self.slot, self.next - first);
        self.unacknowledged.push(delivery.deliver(), self.next);
    }

    #[inline]
    fn push(&self, delivery: &mut Delivery<'_>, (twin, payload): (&[u8], &[u8])) -> bool {
        // Neither the id nor the position lies in memory before it is in the message: it would be
        // written there in halves and read as a whole, for which a processor waits 10 ns.
        let position = || Some((self.partition, self.next));
        match simdutf8::basic::from_utf8(twin) {
            Ok(twin) => {
                let mut message = Message::new(&self.shared.model, twin, payload);
                message.position = position();
                delivery.push(&message)
            }
            Err(_) => delivery.push_undeliverable(payload, "the twin id is not UTF-8", position()),
        }
    }

    fn tell(&mut self, event: LinkEvent, events: &mut LinkEvents) -> ControlFlow<()> {
        match event {
            LinkEvent::Acknowledged { up_to, .. } => {
                if let Some((_, done)) = self.unacknowledged.up_to(up_to).last() {
                    // The moment first, counting after it.
                    if let Some(called) = &self.shared.on_acknowledged {
                        called(self.slot, done);
                    }
                    self.shared.progress.note_acknowledged(self.slot, done);
                }
            }
            LinkEvent::Send(feedback) => {
                if let Some(called) = &self.shared.on_feedback {
                    called(&feedback);
                }
                events.sent(feedback.ticket);
            }
            LinkEvent::Drain => self.reading = false,
            LinkEvent::Stop => return ControlFlow::Break(()),
            LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
        }
        ControlFlow::Continue(())
    }
}
