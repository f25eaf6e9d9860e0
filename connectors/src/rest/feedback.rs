//! Feedback that no answer took: it waits for its data source to fetch it.
//!
//! One store for all slots, bounded by the outboxes that it mirrors (law D6): what an outbox gave
//! up leaves here too. Fetching removes nothing; only an acknowledgement does, and it covers what
//! earlier fetches of the same twin handed out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{sync::Notify, time::Instant};

use crate::link::{Confirmer, Feedback, FeedbackId};

/// Below so many entries nobody looks for those that were given up.
const SWEEP_MIN: usize = 1024;

/// Bytes of payloads that one fetch hands out; a larger one is handed out alone.
const FETCH_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
struct Waiting {
    confirmer: Confirmer,
    ticket: u64,
    payload: Vec<u8>,
    handed_out: bool,
}

impl Waiting {
    fn is_current(&self) -> bool {
        self.confirmer.is_waiting(self.ticket)
    }
}

/// The messages for one twin's data source, in the order in which the twin sent them.
#[derive(Debug, Default)]
struct Mailbox {
    messages: BTreeMap<FeedbackId, Waiting>,
    news: Arc<Notify>,
    /// Fetches that wait; the mailbox stays while there are any.
    readers: usize,
}

#[derive(Debug)]
struct State {
    mailboxes: HashMap<String, Mailbox>,
    messages: usize,
    sweep_at: usize,
}

/// All waiting feedback of a connection.
#[derive(Debug)]
pub(super) struct Mailboxes(Mutex<State>);

/// One message of a fetch.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: FeedbackId,
    pub(super) payload: Vec<u8>,
}

/// A model's name has no slash, so this tells all twins apart.
fn key(model: &str, twin: &str) -> String {
    format!("{model}/{twin}")
}

impl Default for Mailboxes {
    fn default() -> Self {
        let state = State { mailboxes: HashMap::new(), messages: 0, sweep_at: SWEEP_MIN };
        Self(Mutex::new(state))
    }
}

impl Mailboxes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the mailboxes are never left half changed")
    }

    /// Keeps a message until it is acknowledged or given up.
    pub(super) fn put(&self, confirmer: &Confirmer, feedback: Feedback) {
        let Feedback { ticket, id, model, twin, payload, .. } = feedback;
        let confirmer = confirmer.clone();
        let mut waiting = Waiting { confirmer, ticket, payload, handed_out: false };
        // A later session may have handed it out again meanwhile, with another ticket.
        if !waiting.is_current() {
            return;
        }
        let mut state = self.state();
        let mailbox = state.mailboxes.entry(key(&model, &twin)).or_default();
        if let Some(earlier) = mailbox.messages.get(&id) {
            waiting.handed_out = earlier.handed_out;
        }
        let is_new = mailbox.messages.insert(id, waiting).is_none();
        mailbox.news.notify_waiters();
        state.messages += usize::from(is_new);
        if state.messages >= state.sweep_at {
            state.sweep();
        }
    }

    /// Hands out up to `max` messages; they stay until they are acknowledged. Waits until
    /// `deadline` for the first one, and no longer than until [`Self::wake_all`] with `hurry` true.
    pub(super) async fn fetch(
        &self,
        (model, twin): (&str, &str),
        max: usize,
        deadline: Instant,
        hurry: impl Fn() -> bool,
    ) -> Vec<Fetched> {
        let reader = Reader::new(self, key(model, twin));
        loop {
            let news = reader.news.notified();
            let messages = self.state().hand_out(&reader.key, max);
            // A fetch that does not wait must not arm a timer, which takes a millisecond.
            if !messages.is_empty() || hurry() || Instant::now() >= deadline {
                return messages;
            }
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep_until(deadline) => return Vec::new(),
            }
        }
    }

    /// Confirms what earlier fetches handed out up to and including `through` (law D6); how many.
    pub(super) fn acknowledge(&self, model: &str, twin: &str, through: FeedbackId) -> usize {
        let key = key(model, twin);
        let mut state = self.state();
        let Some(mailbox) = state.mailboxes.get_mut(&key) else { return 0 };
        let known = mailbox.messages.get(&through).is_some_and(|message| message.handed_out);
        if !known {
            return 0;
        }
        let handed = mailbox.messages.extract_if(..=through, |_, message| message.handed_out);
        let done: Vec<_> = handed.map(|(_, message)| message).collect();
        state.messages -= done.len();
        state.forget_if_empty(&key);
        drop(state);
        done.iter().for_each(|message| message.confirmer.sent(message.ticket));
        done.len()
    }

    /// Every waiting fetch looks again.
    pub(super) fn wake_all(&self) {
        self.state().mailboxes.values().for_each(|mailbox| mailbox.news.notify_waiters());
    }

    /// How many messages wait.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.state().messages
    }
}

impl State {
    fn hand_out(&mut self, key: &str, max: usize) -> Vec<Fetched> {
        let Some(mailbox) = self.mailboxes.get_mut(key) else { return Vec::new() };
        let before = mailbox.messages.len();
        mailbox.messages.retain(|_, message| message.is_current());
        self.messages -= before - mailbox.messages.len();
        let mut fetched = Vec::new();
        let mut bytes = 0;
        for (id, message) in mailbox.messages.iter_mut().take(max) {
            bytes += message.payload.len();
            if bytes > FETCH_BYTES_MAX && !fetched.is_empty() {
                break;
            }
            message.handed_out = true;
            fetched.push(Fetched { id: *id, payload: message.payload.clone() });
        }
        fetched
    }

    /// Drops what the outboxes gave up; each message is looked at a bounded number of times.
    fn sweep(&mut self) {
        for mailbox in self.mailboxes.values_mut() {
            mailbox.messages.retain(|_, message| message.is_current());
        }
        self.mailboxes.retain(|_, mailbox| !mailbox.messages.is_empty() || mailbox.readers > 0);
        self.messages = self.mailboxes.values().map(|mailbox| mailbox.messages.len()).sum();
        self.sweep_at = (2 * self.messages).max(SWEEP_MIN);
    }

    fn forget_if_empty(&mut self, key: &str) {
        if self.mailboxes.get(key).is_some_and(|box_| box_.messages.is_empty() && box_.readers == 0)
        {
            self.mailboxes.remove(key);
        }
    }
}

/// A fetch that may wait: its mailbox exists until it ends.
struct Reader<'s> {
    store: &'s Mailboxes,
    key: String,
    news: Arc<Notify>,
}

impl<'s> Reader<'s> {
    fn new(store: &'s Mailboxes, key: String) -> Self {
        let mut state = store.state();
        let mailbox = state.mailboxes.entry(key.clone()).or_default();
        mailbox.readers += 1;
        let news = Arc::clone(&mailbox.news);
        drop(state);
        Self { store, key, news }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut state = self.store.state();
        if let Some(mailbox) = state.mailboxes.get_mut(&self.key) {
            mailbox.readers -= 1;
        }
        state.forget_if_empty(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::{
            Edge, LinkRow, ModelNames, OUTBOX_LIMITS, OutboxEntry, OutboxLimits, Slot, SlotPlace,
        },
        message::{Format, Timestamp},
    };

    fn slot(limits: OutboxLimits) -> Arc<Slot> {
        let models = ModelNames::new([("m".to_owned(), 0)]);
        let edge = Edge::new(1, models, Arc::new(|| Timestamp(0)));
        let place = SlotPlace {
            id: 0,
            connection: "web".into(),
            connection_number: 0,
            number: 0,
            slots: 1,
            worker: 0,
            format: Format::Json,
            answers: true,
            dedupe_keep_secs: None,
        };
        Slot::new(place, edge, Arc::default(), limits)
    }

    fn hand(slot: &Slot, index: u32) {
        slot.hand(LinkRow::Feedback(OutboxEntry {
            id: FeedbackId { generation: 1, epoch: 1, index },
            model: 0,
            twin: "t".into(),
            cause: None,
            names: Vec::new(),
            payload: index.to_string().into_bytes(),
            created_at: Timestamp(0),
        }));
    }

    /// Brings what waits in the slot's outbox to the mailboxes.
    fn follow(store: &Mailboxes, events: &mut crate::link::LinkEvents) {
        let confirmer = events.confirmer();
        while let Some(crate::link::LinkEvent::Send(feedback)) = events.try_next() {
            store.put(&confirmer, feedback);
        }
    }

    async fn fetch(store: &Mailboxes, max: usize) -> Vec<u32> {
        let now = Instant::now();
        let fetched = store.fetch(("m", "t"), max, now, || false).await;
        fetched.into_iter().map(|message| message.id.index).collect()
    }

    fn through(index: u32) -> FeedbackId {
        FeedbackId { generation: 1, epoch: 1, index }
    }

    #[tokio::test]
    async fn law_d6_an_acknowledgement_covers_what_was_handed_out_and_nothing_else() {
        let (store, slot) = (Mailboxes::default(), slot(OUTBOX_LIMITS));
        let mut events = slot.open().events;
        for index in [2, 1, 3, 4] {
            hand(&slot, index);
        }
        follow(&store, &mut events);
        assert_eq!(store.acknowledge("m", "t", through(4)), 0, "nothing was handed out");
        assert_eq!(fetch(&store, 3).await, [1, 2, 3], "in the order of the twin");
        assert_eq!(store.acknowledge("m", "t", through(4)), 0, "4 was not handed out");
        hand(&slot, 0);
        follow(&store, &mut events);
        assert_eq!(store.acknowledge("m", "t", through(2)), 2, "1 and 2, but not the late 0");
        assert_eq!(fetch(&store, 9).await, [0, 3, 4]);
        assert_eq!(slot.take_confirmations().confirmed.len(), 2);
        assert_eq!(store.acknowledge("m", "t", through(4)), 3);
        assert_eq!((store.len(), slot.unconfirmed()), (0, 0));
        assert!(store.state().mailboxes.is_empty(), "an empty mailbox is forgotten");
    }

    #[tokio::test]
    async fn what_the_outbox_gave_up_leaves_the_mailbox() {
        let (store, slot) =
            (Mailboxes::default(), slot(OutboxLimits { entries_max: 2, ..OUTBOX_LIMITS }));
        let mut events = slot.open().events;
        for index in 0..3000 {
            hand(&slot, index);
            follow(&store, &mut events);
        }
        assert!(store.len() <= SWEEP_MIN, "{} entries for 2 that wait", store.len());
        assert_eq!(fetch(&store, 9).await, [2998, 2999]);
        assert_eq!(store.len(), 2);
    }

    #[tokio::test]
    async fn a_new_session_hands_out_again_and_keeps_what_was_fetched() {
        let (store, slot) = (Mailboxes::default(), slot(OUTBOX_LIMITS));
        let mut old = slot.open().events;
        let stale = old.confirmer();
        hand(&slot, 1);
        let Some(crate::link::LinkEvent::Send(feedback)) = old.try_next() else { panic!() };
        store.put(&stale, feedback.clone());
        assert_eq!(fetch(&store, 9).await, [1]);
        let mut new = slot.open().events;
        follow(&store, &mut new);
        store.put(&stale, feedback);
        assert_eq!(store.acknowledge("m", "t", through(1)), 1);
        assert_eq!(slot.unconfirmed(), 0, "confirmed with the ticket of the new session");
    }
}
