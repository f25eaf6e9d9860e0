//! What the user writes under `type = "mqtt"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::Format;

/// Settings of an MQTT connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqttSettings {
    /// The broker: `mqtt://HOST:PORT`, or `mqtts://HOST:PORT` for TLS; without a port 1883 or
    /// 8883. Since 0.1.0.
    pub url: String,
    /// Version of the protocol: `5` or `3.1.1`. Default `5`. Since 0.1.0.
    pub version: MqttProtocol,
    /// Name under which the broker keeps our session: unique at the broker, and the same after
    /// every restart. Commands leave as `<client_id>-commands`. Since 0.1.0.
    pub client_id: String,
    /// Name to log in with. Absent: none. Since 0.1.0.
    pub username: Option<String>,
    /// File with the password; it is read anew for every session. Since 0.1.0.
    pub password_file: Option<String>,
    /// What to subscribe to, each with the model that its messages are for:
    /// `[{ topic = "plant/{site}/{twin}/telemetry", model = "pumps" }]`. `{name}` stands for one
    /// level, `{name+}` for all the rest. Since 0.1.0.
    pub topics: Vec<MqttTopic>,
    /// The model of topics that name none and have no `{model}`. Since 0.1.0.
    pub model: Option<String>,
    /// Where a message has the id of its twin. Default `{ from = "topic", name = "twin" }`. With
    /// `same_as = { json = "/id" }` or `{ user_property = ".." }` the message has to say the same
    /// id as its topic. Since 0.1.0.
    pub twin_id: MqttTwinId,
    /// How payloads are meant: `json` or `bytes`. Default `json`. Since 0.1.0.
    #[schemars(with = "String")]
    pub decoder: Format,
    /// Quality of service of the subscriptions: 0 is at most once, 1 at least once; 2 is taken as
    /// 1. Default 1. Since 0.1.0.
    pub qos: u8,
    /// Seconds that the broker keeps our session while we are away (MQTT 5; with 3.1.1 the broker
    /// decides). Default 86400. Since 0.1.0.
    pub session_expiry_secs: u32,
    /// Seconds between signs of life on an idle connection. Default 30. Since 0.1.0.
    pub keep_alive_secs: u16,
    /// Seconds to reach the broker and to log in. Default 10. Since 0.1.0.
    pub connect_timeout_secs: u16,
    /// Messages that the broker may send before the first of them is acknowledged, 1 to 65535
    /// (MQTT 5; with 3.1.1 the broker decides). Default 1000. Since 0.1.0.
    pub receive_max: u16,
    /// Bytes of the largest packet that is taken. An MQTT 5 broker drops what is larger; with
    /// 3.1.1 it ends the connection for good. Payloads over 1 MiB become dead letters.
    /// Default 4194304. Since 0.1.0.
    pub packet_bytes_max: u32,
    /// Messages that the broker had retained before we subscribed: `drop` or `deliver`.
    /// Default `drop`. Since 0.1.0.
    pub retained: MqttRetained,
    /// An id in each message by which repeated ones are recognised. Absent: every message counts.
    /// Since 0.1.0.
    pub dedupe: Option<MqttDedupe>,
    /// Where feedback of twins goes. Absent: it becomes a dead letter. Since 0.1.0.
    pub feedback: Option<MqttFeedback>,
    /// Seconds until feedback that could not be delivered is given up. Default 3600. Since 0.1.0.
    pub feedback_expiry_secs: u64,
    /// A topic that says whether this connection is there. Absent: none. Since 0.1.0.
    pub last_will: Option<MqttLastWill>,
    /// Certificates, for `mqtts`. Absent: the system's authorities and no certificate of our own.
    /// Since 0.1.0.
    pub tls: Option<MqttTls>,
}

impl Default for MqttSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            version: MqttProtocol::default(),
            client_id: String::new(),
            username: None,
            password_file: None,
            topics: Vec::new(),
            model: None,
            twin_id: MqttTwinId::default(),
            decoder: Format::Json,
            qos: 1,
            session_expiry_secs: 86_400,
            keep_alive_secs: 30,
            connect_timeout_secs: 10,
            receive_max: 1000,
            packet_bytes_max: 4 << 20,
            retained: MqttRetained::default(),
            dedupe: None,
            feedback: None,
            feedback_expiry_secs: 3600,
            last_will: None,
            tls: None,
        }
    }
}

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MqttProtocol {
    /// MQTT 5.0.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
}

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttTopic {
    /// Template of its topics.
    pub topic: String,
    /// The model that its messages are for; absent: `{model}` of the template, or the
    /// connection's.
    #[serde(default)]
    pub model: Option<String>,
    /// Its quality of service; absent: the connection's.
    #[serde(default)]
    pub qos: Option<u8>,
}

/// Where a message has the id of its twin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttTwinId {
    /// `topic` or `user_property` (with `name`), or `json` (with `pointer`).
    pub from: MqttIdPlace,
    /// Name in the template (default `twin`), or of the user property.
    #[serde(default)]
    pub name: Option<String>,
    /// JSON pointer (RFC 6901) into the payload, for example `/device/id`.
    #[serde(default)]
    pub pointer: Option<String>,
    /// Where a message says its twin's id once more, when it comes from the topic. A message that
    /// says another one, or none, becomes a dead letter. Absent: the topic alone counts.
    #[serde(default)]
    pub same_as: Option<MqttSameId>,
}

/// Where a message says once more which twin it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqttSameId {
    /// Name of the user property that has the id (MQTT 5).
    pub user_property: Option<String>,
    /// JSON pointer to it in the payload.
    pub json: Option<String>,
}

/// A part of a message that can have an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MqttIdPlace {
    /// A name that the topic template captures.
    #[default]
    Topic,
    /// A user property (MQTT 5).
    UserProperty,
    /// A place in the payload.
    Json,
}

/// What is done with retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MqttRetained {
    /// They are old, and every restart would bring them again.
    #[default]
    Drop,
    /// They are messages like all others.
    Deliver,
}

/// Where a message has an id of its own, and how long it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqttDedupe {
    /// Name of the user property that has it (MQTT 5).
    pub user_property: Option<String>,
    /// JSON pointer to it in the payload.
    pub json: Option<String>,
    /// Seconds that an id is remembered. Default 86400.
    pub keep_secs: u64,
}

impl Default for MqttDedupe {
    fn default() -> Self {
        Self { user_property: None, json: None, keep_secs: 86_400 }
    }
}

/// Where feedback goes. It leaves with quality of service 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqttFeedback {
    /// Template of the topic: `{twin}`, `{model}` and what the template of the twin's last message
    /// captured.
    pub topic: String,
    /// Whether the broker keeps the last one for later subscribers. Default false.
    pub retain: bool,
    /// Seconds after which the broker drops what nobody took (MQTT 5). Absent: never.
    pub expiry_secs: Option<u32>,
    /// Messages on their way before the first of them is confirmed, 1 to 65535. Default 100.
    pub in_flight_max: u16,
}

impl Default for MqttFeedback {
    fn default() -> Self {
        Self { topic: String::new(), retain: false, expiry_secs: None, in_flight_max: 100 }
    }
}

/// A retained message that says whether we are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqttLastWill {
    /// Its topic.
    pub topic: String,
    /// Published when we are gone, by the broker if we could not. Default `offline`.
    pub payload: String,
    /// Published once we are connected. Default `online`.
    pub online: String,
}

impl Default for MqttLastWill {
    fn default() -> Self {
        Self { topic: String::new(), payload: "offline".into(), online: "online".into() }
    }
}

/// Certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MqttTls {
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// PEM file of our own certificate, with `key_file`.
    pub cert_file: Option<String>,
    /// PEM file of its private key.
    pub key_file: Option<String>,
}
