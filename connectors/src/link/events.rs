//! The half of a link that says what became of what was delivered.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Feedback, LinkEvent, Receipt, Slot,
    outbox::Waiting,
    slot::{SlotState, Told},
};

/// Acknowledgements, feedback, failures, drain and stop of one session, in the order of law D1.
#[derive(Debug)]
pub struct LinkEvents {
    slot: Arc<Slot>,
    session: u64,
}

impl LinkEvents {
    pub(super) fn new(slot: Arc<Slot>, session: u64) -> Self {
        Self { slot, session }
    }

    /// Waits for the next event. After `Stop`, or when the session is over, always `Stop`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> LinkEvent {
        let slot = Arc::clone(&self.slot);
        loop {
            let news = slot.news.notified();
            if let Some(event) = self.try_next() {
                return event;
            }
            news.await;
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<LinkEvent> {
        let mut state = self.slot.state();
        if state.session != self.session {
            return Some(LinkEvent::Stop);
        }
        // Everything of an epoch is in `waiting` before its acknowledgement is set; so while
        // anything waits, no acknowledgement is told (law D1).
        while let Some(waiting) = state.outbox.waiting.pop_front() {
            let ticket = match waiting {
                Waiting::Tell(event) => return Some(event),
                Waiting::Send(ticket) => ticket,
            };
            if let Some(feedback) = self.feedback(&state, ticket) {
                self.slot.statistics.feedback_sent.fetch_add(1, Ordering::Relaxed);
                return Some(LinkEvent::Send(feedback));
            }
        }
        let (up_to, epoch) = state.acknowledged;
        if up_to > state.told && up_to.0 >= state.first_receipt {
            state.told = up_to;
            return Some(LinkEvent::Acknowledged { up_to, epoch });
        }
        if state.drain == Told::Asked {
            state.drain = Told::Done;
            return Some(LinkEvent::Drain);
        }
        if state.stop != Told::NotAsked {
            return Some(LinkEvent::Stop);
        }
        None
    }

    fn feedback(&self, state: &SlotState, ticket: u64) -> Option<Feedback> {
        let entry = state.outbox.entry(ticket)?;
        let model = self.slot.edge.models.name(entry.model).unwrap_or_default().to_owned();
        Some(Feedback {
            ticket,
            id: entry.id,
            cause: entry.cause,
            model,
            twin: entry.twin.clone(),
            names: entry.names.clone(),
            payload: entry.payload.clone(),
        })
    }

    /// The upstream has this feedback: after its PUBACK, its delivery report, the fetch with
    /// acknowledgement, the response written without error. It becomes a delivered mark.
    pub fn sent(&mut self, ticket: u64) {
        self.slot.confirm(ticket);
    }

    /// A handle that confirms feedback from other tasks than the one that reads the events.
    pub fn confirmer(&self) -> Confirmer {
        Confirmer { slot: Arc::clone(&self.slot) }
    }

    /// The newest delivery of this session that the connector was told is committed.
    pub fn acknowledged(&self) -> Receipt {
        self.slot.state().told
    }
}

/// Confirms feedback of one slot, for connectors whose answers are written by many tasks.
///
/// Tickets are unique in the life of a slot, so one of an earlier session confirms nothing.
#[derive(Clone, Debug)]
pub struct Confirmer {
    slot: Arc<Slot>,
}

impl Confirmer {
    /// The upstream has this feedback; see [`LinkEvents::sent`].
    pub fn sent(&self, ticket: u64) {
        self.slot.confirm(ticket);
    }

    /// Whether this feedback still waits for its confirmation: it was neither confirmed nor given
    /// up, and no later session handed it out again.
    pub fn is_waiting(&self, ticket: u64) -> bool {
        self.slot.state().outbox.entry(ticket).is_some()
    }
}
