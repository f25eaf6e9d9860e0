//! Feedback on its way out: over a connection of its own, so that neither waits for the other's
//! window (law F5).

use std::collections::{HashMap, VecDeque};

use super::{
    client::{Client, ClientEvent, Publication, Refusal},
    plan::FeedbackPlan,
    trouble::Trouble,
};
use crate::link::{Confirmer, Feedback};

/// User properties of a command, where the protocol has them.
const ID_PROPERTY: &str = "twinflow-id";
const MODEL_PROPERTY: &str = "twinflow-model";
const TWIN_PROPERTY: &str = "twinflow-twin";

/// The commands of one session. What waits here the outbox of the slot bounds.
pub(super) struct Commands<'p, C> {
    client: C,
    plan: &'p FeedbackPlan,
    confirmer: Confirmer,
    connected: bool,
    packet_bytes_max: Option<u32>,
    waiting: VecDeque<(u64, Publication)>,
    /// Given to the client, without a packet id yet.
    given: VecDeque<u64>,
    /// On their way, by packet id.
    sent: HashMap<u16, u64>,
}

impl<'p, C: Client> Commands<'p, C> {
    pub(super) fn new(client: C, plan: &'p FeedbackPlan, confirmer: Confirmer) -> Self {
        Self {
            client,
            plan,
            confirmer,
            connected: false,
            packet_bytes_max: None,
            waiting: VecDeque::new(),
            given: VecDeque::new(),
            sent: HashMap::new(),
        }
    }

    /// Waits for events of the connection; see [`Client::next`].
    pub(super) async fn next(&mut self, events: &mut Vec<ClientEvent>) -> Result<(), Trouble> {
        self.client.next(events).await
    }

    /// Takes feedback of a committed epoch.
    pub(super) fn take(&mut self, feedback: Feedback) -> Result<(), Trouble> {
        let named = |name: &str| match name {
            "twin" => Some(feedback.twin.as_str()),
            "model" => Some(feedback.model.as_str()),
            _ => {
                let mut names = feedback.names.iter();
                names.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            }
        };
        let Some(topic) = self.plan.template.topic(named) else {
            let why = "the twin's last message has not all names that its topic needs, or it is \
                       too long";
            self.confirmer.give_up(feedback.ticket, why);
            return Ok(());
        };
        let properties = vec![
            (ID_PROPERTY.to_owned(), feedback.id.to_string()),
            (MODEL_PROPERTY.to_owned(), feedback.model),
            (TWIN_PROPERTY.to_owned(), feedback.twin),
        ];
        let command = Publication {
            topic,
            payload: feedback.payload,
            retain: self.plan.retain,
            properties,
            expiry_secs: self.plan.expiry_secs,
        };
        self.waiting.push_back((feedback.ticket, command));
        self.give()
    }

    /// Gives the client as many as may be on their way; more would wait in it without a bound.
    fn give(&mut self) -> Result<(), Trouble> {
        let most = usize::from(self.plan.in_flight_max);
        while self.connected && self.given.len() + self.sent.len() < most {
            let Some((ticket, command)) = self.waiting.pop_front() else { break };
            if !self.confirmer.is_waiting(ticket) {
                continue;
            }
            if self.packet_bytes_max.is_some_and(|max| size(&command) > u64::from(max)) {
                self.confirmer.give_up(ticket, "it is larger than what the broker takes");
                continue;
            }
            self.client.publish(command)?;
            self.given.push_back(ticket);
        }
        Ok(())
    }

    /// What the connection told.
    pub(super) fn heard(&mut self, event: ClientEvent) -> Result<(), Trouble> {
        match event {
            ClientEvent::Connected { packet_bytes_max, .. } => {
                self.connected = true;
                self.packet_bytes_max = packet_bytes_max;
            }
            ClientEvent::Sent(packet) => {
                if let Some(ticket) = self.given.pop_front() {
                    self.sent.insert(packet, ticket);
                }
            }
            ClientEvent::Confirmed(packet, outcome) => {
                if let Some(ticket) = self.sent.remove(&packet) {
                    match outcome {
                        Ok(()) => self.confirmer.sent(ticket),
                        Err(Refusal::ForGood(why)) => self.confirmer.give_up(ticket, why),
                        Err(Refusal::ForNow) => {
                            let text = "the broker does not take a command at the moment";
                            return Err(Trouble::NotNow(text.into()));
                        }
                    }
                }
            }
            _ => {}
        }
        self.give()
    }

    pub(super) fn close(&mut self) -> Result<(), Trouble> {
        self.client.close()
    }
}

/// An upper bound of the bytes of a command's packet.
fn size(command: &Publication) -> u64 {
    let pair = |(key, value): &(String, String)| key.len() + value.len() + 5;
    let properties: usize = command.properties.iter().map(pair).sum();
    (command.topic.len() + command.payload.len() + properties + 32) as u64
}
