//! One connection to the broker: a task of its own turns the wheel, since it may not be stopped in
//! the middle of a packet.

use std::{net::SocketAddr, time::Duration};

use axum::body::Bytes;
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, PubAckReason, Publish, SubscribeReasonCode},
    },
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};

use crate::demo::answer;

/// Requests that wait for the connection; a device asks for fewer at once.
const REQUESTS_MAX: usize = 64;
const HEARD_MAX: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// The broker keeps the session of a line that it lost for so long.
const SESSION_SECS: u32 = 600;
const AGAIN: Duration = Duration::from_millis(100);

/// What comes from the broker.
#[derive(Debug)]
pub(super) enum Heard {
    /// It will hand on what is sent to us.
    Subscribed,
    /// It took one more message.
    Taken,
    /// A twin sent something.
    Command(Command),
    /// It does not do what every broker does.
    Refused(String),
}

/// Feedback of a twin.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) topic: String,
    /// The same whenever it comes again.
    pub(super) id: String,
    pub(super) text: String,
}

/// A connection that is kept.
pub(super) struct Wire {
    requests: AsyncClient,
    heard: Receiver<Heard>,
    wheel: JoinHandle<()>,
}

impl Wire {
    /// Connects under this name and subscribes.
    pub(super) fn connect(broker: SocketAddr, name: &str, filter: &str) -> Self {
        let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_start(false);
        options.set_session_expiry_interval(Some(SESSION_SECS));
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (requests, event_loop) = AsyncClient::new(options, REQUESTS_MAX);
        let subscribed = requests.try_subscribe(filter, QoS::AtLeastOnce);
        subscribed.expect("the first request has room");
        let (sender, heard) = mpsc::channel(HEARD_MAX);
        Self { requests, heard, wheel: tokio::spawn(turn(event_loop, sender)) }
    }

    /// Publishes one message; whoever publishes more waits for [`Heard::Taken`] before the next.
    pub(super) fn publish(&self, topic: &str, message: Bytes) -> Result<(), String> {
        let sent = self.requests.try_publish(topic, QoS::AtLeastOnce, false, message);
        sent.map_err(|error| format!("a message has no room on its way to the broker: {error}"))
    }

    /// What comes next; may be dropped at any time.
    pub(super) async fn next(&mut self) -> Heard {
        let heard = self.heard.recv().await;
        heard.unwrap_or_else(|| Heard::Refused("the connection to the broker has ended".into()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.wheel.abort();
    }
}

/// Connects, and connects again; what the broker did not take is published again.
async fn turn(mut event_loop: EventLoop, heard: Sender<Heard>) {
    loop {
        let told = match event_loop.poll().await {
            Ok(Event::Incoming(packet)) => tell(packet),
            Ok(Event::Outgoing(_)) => None,
            Err(_lost) => {
                tokio::time::sleep(AGAIN).await;
                None
            }
        };
        if let Some(told) = told
            && heard.send(told).await.is_err()
        {
            return;
        }
    }
}

fn tell(packet: Packet) -> Option<Heard> {
    Some(match packet {
        Packet::PubAck(ack) => match ack.reason {
            PubAckReason::Success => Heard::Taken,
            reason => Heard::Refused(format!("the broker did not take a message: {reason:?}")),
        },
        Packet::SubAck(answer) => match answer.return_codes.first() {
            Some(SubscribeReasonCode::Success(QoS::AtLeastOnce)) => Heard::Subscribed,
            code => Heard::Refused(format!("the broker refused a subscription: {code:?}")),
        },
        Packet::Publish(publish) => command(&publish).map_or_else(
            || Heard::Refused("a command came without an id, or is no JSON".into()),
            Heard::Command,
        ),
        _ => return None,
    })
}

fn command(publish: &Publish) -> Option<Command> {
    let properties = &publish.properties.as_ref()?.user_properties;
    let (_, id) = properties.iter().find(|(name, _)| name == "twinflow-id")?;
    let topic = String::from_utf8(publish.topic.to_vec()).ok()?;
    let payload = serde_json::from_slice(&publish.payload).ok()?;
    Some(Command { topic, id: id.clone(), text: answer::command(&payload) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_the_twin_sent_and_has_its_id() {
        let mut publish = Publish::new("a/b", QoS::AtLeastOnce, r#""brake""#, None);
        let properties = publish.properties.get_or_insert_default();
        properties.user_properties = vec![
            ("twinflow-twin".into(), "turbine-0001".into()),
            ("twinflow-id".into(), "1-2-3".into()),
        ];
        let Some(Heard::Command(command)) = tell(Packet::Publish(publish.clone())) else {
            panic!("no command")
        };
        let Command { topic, id, text } = command;
        assert_eq!((topic.as_str(), id.as_str(), text.as_str()), ("a/b", "1-2-3", "brake"));
        publish.properties = None;
        assert!(matches!(tell(Packet::Publish(publish)), Some(Heard::Refused(_))));
    }
}
