//! The half of a link that says what became of what was delivered.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Feedback, LinkEvent, Receipt, Reporter, Slot,
    outbox::Waiting,
    slot::{Due, SlotState, Told},
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
        let mut guard = self.slot.state();
        let state = &mut *guard;
        if state.session != self.session {
            return Some(LinkEvent::Stop);
        }
        // First, because what is read on makes more of everything else.
        if state.drain == Told::Asked {
            state.drain = Told::Done;
            return Some(LinkEvent::Drain);
        }
        let (up_to, epoch) = state.acknowledged;
        if state.due.is_none() && up_to > state.told && up_to.0 >= state.first_receipt {
            state.due = Some(Due { up_to, epoch, after: state.outbox.mark() });
        }
        // Everything of an epoch waited before its acknowledgement was set, so it is told before
        // the mark; what came later does not hold the acknowledgement up (law D1).
        loop {
            match state.due {
                Some(Due { up_to, epoch, after }) if state.outbox.has_passed(after) => {
                    (state.told, state.due) = (up_to, None);
                    return Some(LinkEvent::Acknowledged { up_to, epoch });
                }
                // Unconfirmed feedback is kept; the engine has waited for it as long as it would.
                None if state.stop != Told::NotAsked => return Some(LinkEvent::Stop),
                _ => {}
            }
            match state.outbox.pop()? {
                Waiting::Tell(event) => return Some(event),
                Waiting::Send(ticket) => {
                    if let Some(feedback) = self.feedback(state, ticket) {
                        self.slot.statistics.feedback_sent.fetch_add(1, Ordering::Relaxed);
                        return Some(LinkEvent::Send(feedback));
                    }
                }
            }
        }
    }

    fn feedback(&self, state: &SlotState, ticket: u64) -> Option<Feedback> {
        let entry = state.outbox.entry(ticket)?;
        let model = self.slot.edge.models.name(entry.model).unwrap_or_default().to_owned();
        Some(Feedback {
            ticket,
            id: entry.id,
            // Of an earlier session's deliveries the upstream knows nothing.
            cause: entry.cause.filter(|cause| cause.0 >= state.first_receipt),
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

    /// Hands everything unconfirmed out again, in order and with new tickets, for a connector whose
    /// way out broke while its way in goes on. Tickets given before confirm nothing any more.
    pub fn hand_out_again(&mut self) {
        self.slot.hand_out_again();
    }

    /// A handle to say where the session is with its upstream.
    pub fn reporter(&self) -> Reporter {
        Reporter(Arc::clone(&self.slot))
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

    /// The upstream will never take this feedback: it becomes a dead letter with this reason.
    pub fn give_up(&self, ticket: u64, why: &'static str) {
        self.slot.give_up(ticket, why);
    }

    /// Whether this feedback still waits for its confirmation: it was neither confirmed nor given
    /// up, and no later session handed it out again.
    pub fn is_waiting(&self, ticket: u64) -> bool {
        self.slot.state().outbox.entry(ticket).is_some()
    }
}
