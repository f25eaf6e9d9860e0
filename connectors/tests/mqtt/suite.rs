//! The conformance suite, against real brokers, through the relay.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use twinflow_connectors::{
    ConfigurableConnector,
    conformance::{self, MODEL, ReceivedFeedback, Sent, Upstream},
    mqtt::{Mqtt, MqttFeedback, MqttProtocol, MqttSettings, MqttTopic},
};

use crate::{
    artemis::Artemis,
    mosquitto::{Mosquitto, PASSWORD, USER},
    outside::{Outside, forget, make_session},
    relay::Relay,
};

/// Kept while its test runs.
enum Broker {
    Mosquitto(#[expect(dead_code, reason = "dropped with the test")] Mosquitto),
    Artemis(#[expect(dead_code, reason = "dropped with the last test")] Arc<Artemis>),
}

pub(crate) struct Plant {
    _broker: Option<Broker>,
    pub(crate) relay: Relay,
    pub(crate) outside: Outside,
    pub(crate) settings: MqttSettings,
    wrong_password: Option<PathBuf>,
}

pub(crate) fn settings(protocol: MqttProtocol, port: u16) -> MqttSettings {
    MqttSettings {
        url: format!("mqtt://127.0.0.1:{port}"),
        version: protocol,
        client_id: "twinflow-plant".into(),
        topics: vec![MqttTopic {
            topic: "plant/{site}/{twin}/telemetry".into(),
            model: Some(MODEL.into()),
            qos: None,
        }],
        feedback: Some(MqttFeedback {
            topic: "plant/{site}/{twin}/command".into(),
            ..MqttFeedback::default()
        }),
        keep_alive_secs: 5,
        ..MqttSettings::default()
    }
}

impl Plant {
    pub(crate) async fn mosquitto(protocol: MqttProtocol, window: u32) -> Self {
        let broker = Mosquitto::start(window);
        let password_file = broker.password_file();
        let wrong = password_file.with_extension("wrong");
        std::fs::write(&wrong, "not it").unwrap();
        let mut plant = Self::at(broker.address, protocol).await;
        plant.settings.username = Some(USER.into());
        plant.settings.password_file = Some(password_file.display().to_string());
        plant.wrong_password = Some(wrong);
        plant._broker = Some(Broker::Mosquitto(broker));
        plant
    }

    /// One broker for all checks of a test: it takes seconds to start, so each has its own client.
    async fn artemis(protocol: MqttProtocol, broker: &Arc<Artemis>) -> Self {
        let mut plant = Self::at(broker.address, protocol).await;
        plant._broker = Some(Broker::Artemis(Arc::clone(broker)));
        plant
    }

    /// Waits until the connector has subscribed so many times.
    pub(crate) async fn until_subscribed(&self, count: u64) {
        let patience = tokio::time::timeout(self.patience(), async {
            while self.relay.subscribed() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        patience.await.expect("the connector subscribes");
    }

    async fn at(broker: SocketAddr, protocol: MqttProtocol) -> Self {
        let relay = Relay::start(broker).await;
        let settings = settings(protocol, relay.port);
        forget(broker, &settings.client_id).await;
        make_session(broker, &settings.client_id, "plant/+/+/telemetry").await;
        let outside = Outside::connect(broker, "plant/+/+/command").await;
        Self { _broker: None, relay, outside, settings, wrong_password: None }
    }
}

impl Upstream for Plant {
    type Connector = Mqtt;

    fn connector(&mut self) -> Mqtt {
        Mqtt::from_settings(self.settings.clone()).unwrap()
    }

    fn is_replayable(&self) -> bool {
        false
    }

    async fn send(&mut self, messages: Vec<Sent>) {
        let topic = |(twin, payload)| (format!("plant/7/{twin}/telemetry"), payload);
        self.outside.publish(messages.into_iter().map(topic).collect()).await;
    }

    async fn cut(&mut self) {
        self.relay.cut();
    }

    async fn set_reachable(&mut self, reachable: bool) {
        self.relay.set_reachable(reachable);
    }

    async fn acknowledged(&mut self) -> u64 {
        self.relay.acknowledged()
    }

    async fn until_acknowledged(&mut self, count: u64) {
        while self.relay.acknowledged() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn next_feedback(&mut self) -> ReceivedFeedback {
        let publish = self.outside.next().await;
        let properties = publish.properties.unwrap_or_default().user_properties;
        let id = properties.into_iter().find(|(key, _)| key == "twinflow-id");
        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
        let twin = topic.split('/').nth(2).unwrap().to_owned();
        let payload = publish.payload.to_vec();
        ReceivedFeedback { twin, payload, id: id.map(|(_, id)| id) }
    }

    async fn withhold_confirmations(&mut self, withhold: bool) -> bool {
        self.relay.withhold(withhold);
        true
    }

    fn wrong_credentials(&mut self) -> Option<Mqtt> {
        let path = self.wrong_password.as_ref()?;
        let password_file = Some(path.display().to_string());
        Some(Mqtt::from_settings(MqttSettings { password_file, ..self.settings.clone() }).unwrap())
    }

    fn secret(&self) -> Option<String> {
        Some(PASSWORD.into())
    }

    fn keep_alive(&self) -> Duration {
        Duration::from_secs(12)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn names(&self) -> Vec<(String, String)> {
        vec![("site".into(), "7".into())]
    }
}

#[tokio::test]
async fn mosquitto_with_mqtt_5_conforms() {
    conformance::all(async || Plant::mosquitto(MqttProtocol::V5, 1000).await).await;
}

#[tokio::test]
async fn mosquitto_with_mqtt_3_1_1_conforms() {
    conformance::all(async || Plant::mosquitto(MqttProtocol::V311, 1000).await).await;
}

#[tokio::test]
async fn artemis_with_both_protocols_conforms() {
    let broker = Arc::new(Artemis::start());
    for protocol in [MqttProtocol::V5, MqttProtocol::V311] {
        conformance::all(async || Plant::artemis(protocol, &broker).await).await;
    }
}
