//! One session of the connector with its broker.

use super::{MemoryBroker, store::Mark};
use crate::{
    error::{ConnectorError, ErrorKind},
    link::{Delivery, LinkEvent, LinkEvents, LinkIntake},
    message::PartitionRef,
    unacknowledged::Unacknowledged,
};

/// The topic of a replayable broker's partitions in stored positions.
const TOPIC: &str = "memory";

pub(super) struct Session {
    broker: MemoryBroker,
    /// The cuts that were made before this session.
    cuts: u64,
    partitions: Vec<PartitionRef>,
    /// Marks of the next delivery; at first where the session went on. What was taken before is
    /// committed once anything of this session is, because receipts are acknowledged in order.
    marks: Vec<Mark>,
    unacknowledged: Unacknowledged<Vec<Mark>>,
    /// Feedback that waits until the broker confirms again; bounded by the outbox of the slot.
    unconfirmed: Vec<u64>,
    reading: bool,
}

impl Session {
    pub(super) fn connect(
        broker: &MemoryBroker,
        intake: &mut LinkIntake,
    ) -> Result<Self, ConnectorError> {
        let mut state = broker.state();
        if state.refused {
            let doing = "reach the memory broker: it refuses sessions";
            return Err(ConnectorError::new(ErrorKind::Unreachable, doing));
        }
        let (mut partitions, mut positions) = (Vec::new(), Vec::new());
        for (number, end) in state.store.ends().into_iter().enumerate() {
            let topic_partition = i32::try_from(number).expect("partitions are few");
            let (partition, next) = intake.partition(TOPIC, topic_partition);
            let next = next.unwrap_or(0);
            if next > end {
                // Law D3: only a person can say what became of that log.
                let doing = format!(
                    "go on at position {next} of partition {number}: its log ends at {end}"
                );
                return Err(ConnectorError::new(ErrorKind::Rejected, doing));
            }
            partitions.push(partition);
            positions.push(next);
        }
        state.store.start_session(&positions);
        state.sessions += 1;
        let cuts = state.cuts;
        drop(state);
        broker.tell_outside();
        Ok(Self {
            broker: broker.clone(),
            cuts,
            partitions,
            marks: positions.into_iter().enumerate().collect(),
            unacknowledged: Unacknowledged::default(),
            unconfirmed: Vec::new(),
            reading: true,
        })
    }

    /// Whether the upstream has ended and everything is acknowledged; an error if it was cut.
    pub(super) fn is_over(&self) -> Result<bool, ConnectorError> {
        let state = self.broker.state();
        if state.cuts > self.cuts {
            let doing = "keep the session with the memory broker: it was cut";
            return Err(ConnectorError::new(ErrorKind::Unreachable, doing));
        }
        Ok(state.closed && state.store.backlog() == 0 && self.unacknowledged.is_empty())
    }

    /// Whether there is something to deliver, once the link has room.
    pub(super) fn has_more(&self) -> bool {
        self.reading && self.broker.state().store.has_more()
    }

    pub(super) fn deliver(&mut self, mut delivery: Delivery<'_>) {
        let mut state = self.broker.state();
        self.marks.extend(state.store.fill(&mut delivery, &self.partitions));
        drop(state);
        // Rows that were taken before count as pushed and are not there; their marks go along with
        // the next delivery.
        let is_empty = delivery.is_empty();
        let receipt = delivery.deliver();
        if !is_empty {
            self.unacknowledged.push(receipt, std::mem::take(&mut self.marks));
        }
        self.broker.tell_outside();
    }

    pub(super) fn tell(&mut self, event: LinkEvent, events: &mut LinkEvents) {
        let mut state = self.broker.state();
        match event {
            LinkEvent::Acknowledged { up_to, .. } => {
                for (_, marks) in self.unacknowledged.up_to(up_to) {
                    state.store.settle(&marks);
                }
            }
            LinkEvent::Send(feedback) => {
                self.unconfirmed.push(feedback.ticket);
                state.feedback.push(feedback);
            }
            LinkEvent::Rejected { .. } => state.rejected += 1,
            LinkEvent::Drain => self.reading = false,
            LinkEvent::Outcome { .. } | LinkEvent::Stop => {}
        }
        drop(state);
        self.confirm(events);
        self.broker.tell_outside();
    }

    /// Confirms feedback unless the broker withholds it.
    pub(super) fn confirm(&mut self, events: &mut LinkEvents) {
        if !self.unconfirmed.is_empty() && self.broker.state().confirms {
            for ticket in self.unconfirmed.drain(..) {
                events.sent(ticket);
            }
        }
    }
}
