//! The world at the other end of the broker: devices that publish, and listen for commands.

use std::{net::SocketAddr, time::Duration};

use rumqttc::v5::{
    AsyncClient, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, Publish},
    },
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::mosquitto::{PASSWORD, USER};

/// A client of one's own, straight to the broker.
pub(crate) struct Outside {
    broker: SocketAddr,
    requests: AsyncClient,
    confirmed: mpsc::Receiver<()>,
    arrived: mpsc::Receiver<Publish>,
    task: JoinHandle<()>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn options(id: &str, broker: SocketAddr) -> MqttOptions {
    let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
    options.set_credentials(USER, PASSWORD);
    options.set_max_packet_size(Some(16 << 20));
    options.set_keep_alive(Duration::from_secs(30));
    options
}

impl Outside {
    /// Publishes, and listens to `filter`.
    pub(crate) async fn connect(broker: SocketAddr, filter: &str) -> Self {
        let (requests, mut events) = AsyncClient::new(options("outside", broker), 10_000);
        let (confirm, confirmed) = mpsc::channel(10_000);
        let (arrive, arrived) = mpsc::channel(10_000);
        requests.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        wait_for(&mut events, |packet| matches!(packet, Packet::SubAck(_))).await;
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_))) => confirm.send(()).await.unwrap(),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        arrive.send(publish).await.unwrap();
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        Self { broker, requests, confirmed, arrived, task }
    }

    /// Publishes and waits until the broker has everything.
    pub(crate) async fn publish(&mut self, messages: Vec<(String, Vec<u8>)>) {
        let count = messages.len();
        for (topic, payload) in messages {
            self.requests.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
        }
        for _ in 0..count {
            self.confirmed.recv().await.unwrap();
        }
    }

    /// Publishes with everything that a message may have.
    pub(crate) async fn publish_as(&mut self, message: Publish) {
        let properties = message.properties.unwrap_or_default();
        let topic = String::from_utf8(message.topic.to_vec()).unwrap();
        let (qos, retain) = (message.qos, message.retain);
        let payload = message.payload;
        self.requests
            .publish_with_properties(topic, qos, retain, payload, properties)
            .await
            .unwrap();
        if qos == QoS::AtLeastOnce {
            self.confirmed.recv().await.unwrap();
        }
    }

    /// The next message of the subscription.
    pub(crate) async fn next(&mut self) -> Publish {
        self.arrived.recv().await.unwrap()
    }
}

/// Makes the session of a client that comes later, so that the broker keeps messages for it.
pub(crate) async fn make_session(broker: SocketAddr, id: &str, filter: &str) {
    let mut with = options(id, broker);
    with.set_clean_start(false).set_session_expiry_interval(Some(600));
    let (requests, mut events) = AsyncClient::new(with, 10);
    requests.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
    wait_for(&mut events, |packet| matches!(packet, Packet::SubAck(_))).await;
    requests.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
}

async fn wait_for(events: &mut EventLoop, wanted: impl Fn(&Packet) -> bool) {
    loop {
        if let Event::Incoming(packet) = events.poll().await.unwrap()
            && wanted(&packet)
        {
            return;
        }
    }
}

impl Outside {
    /// A second client of the same id; it stays until the first one is gone.
    pub(crate) async fn take_over(&self, id: &str) {
        make_session(self.broker, id, "nothing").await;
    }

    /// Makes the broker forget the session of a client.
    pub(crate) async fn forget(&self, id: &str) {
        forget(self.broker, id).await;
    }

    /// Adds a subscription to the session of a client that is not there.
    pub(crate) async fn subscribe_as(&self, id: &str, filter: &str) {
        make_session(self.broker, id, filter).await;
    }
}

/// Makes a broker forget the session of a client that is not there.
pub(crate) async fn forget(broker: SocketAddr, id: &str) {
    let (requests, mut events) = AsyncClient::new(options(id, broker), 10);
    wait_for(&mut events, |packet| matches!(packet, Packet::ConnAck(_))).await;
    requests.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
}
