//! What the user writes under `type = "kafka"`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::message::Format;

/// Settings of a Kafka connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// Addresses of some brokers, `host:port`; the others are learned from them. Since 0.1.0.
    pub brokers: Vec<String>,
    /// The topics to read, each with the model that its records are for:
    /// `[{ topic = "readings", model = "pumps" }]`. Since 0.1.0.
    pub topics: Vec<KafkaTopic>,
    /// The model of topics that name none. Since 0.1.0.
    pub model: Option<String>,
    /// Where a record has the id of its twin, for topics that do not say. Default
    /// `{ from = "key" }`. Since 0.1.0.
    pub twin_id: KafkaTwinId,
    /// How payloads are meant: `json` or `bytes`. Default `json`. Since 0.1.0.
    #[schemars(with = "String")]
    pub decoder: Format,
    /// Consumer group that processed offsets are committed to, for monitoring of lag only:
    /// recovery never reads it. Default `twinflow`. Since 0.1.0.
    pub group: String,
    /// Name of this client at the brokers. Default `twinflow`. Since 0.1.0.
    pub client_id: String,
    /// Where to begin in a partition without a stored position: `earliest`, `latest`, `committed`
    /// (the group's offset, else the earliest) or `timestamp`. Default `earliest`. Since 0.1.0.
    pub start: KafkaStart,
    /// With `start = "timestamp"`: milliseconds since 1970. Since 0.1.0.
    pub start_timestamp_ms: Option<u64>,
    /// Records of open and aborted transactions: `committed` skips them, `uncommitted` reads them.
    /// Default `committed`. Since 0.1.0.
    pub isolation: KafkaIsolation,
    /// Consumers that the partitions are spread over, each with its thread and its link.
    /// Default 1. Since 0.1.0.
    pub connections: usize,
    /// An id in each record by which repeated ones are recognised. Absent: every record counts.
    /// Since 0.1.0.
    pub dedupe: Option<KafkaDedupe>,
    /// Where feedback of twins goes. Absent: it becomes a dead letter. Since 0.1.0.
    pub feedback: Option<KafkaFeedback>,
    /// Seconds until feedback that could not be delivered is given up. Default 3600. Since 0.1.0.
    pub feedback_expiry_secs: u64,
    /// Encryption; an empty table trusts the system's certificate authorities. Absent: none.
    /// Since 0.1.0.
    pub tls: Option<KafkaTls>,
    /// Log-in. Absent: none. Since 0.1.0.
    pub sasl: Option<KafkaSasl>,
    /// Bytes that each consumer reads ahead of the engine, at most. Default 33554432. Since 0.1.0.
    pub prefetch_bytes_max: usize,
    /// Milliseconds a broker may wait for records before it answers a fetch. Default 100.
    /// Since 0.1.0.
    pub fetch_wait_max_ms: u64,
    /// Milliseconds between two commits of the group's offset; 0 never commits. Default 1000.
    /// Since 0.1.0.
    pub commit_interval_ms: u64,
    /// Milliseconds between two looks for new partitions and missing topics. Default 10000.
    /// Since 0.1.0.
    pub discovery_interval_ms: u64,
    /// Milliseconds that a session tries to reach its first broker. Default 10000. Since 0.1.0.
    pub connect_timeout_ms: u64,
    /// Seconds that a refused log-in is tried again before the connection is failed: credentials
    /// may be rotating. Default 30. Since 0.1.0.
    pub auth_give_up_secs: u64,
    /// Milliseconds between two looks at lag and other figures of the client. Default 5000.
    /// Since 0.1.0.
    pub statistics_interval_ms: u64,
    /// Further options of the client library (librdkafka), by their names there. Those that
    /// delivery depends on are refused. Since 0.1.0.
    pub client_options: BTreeMap<String, String>,
}

/// A topic to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaTopic {
    /// Its name.
    pub topic: String,
    /// The model that its records are for; absent: the connection's.
    #[serde(default)]
    pub model: Option<String>,
    /// Where its records have the id of their twin; absent: as the connection says.
    #[serde(default)]
    pub twin_id: Option<KafkaTwinId>,
}

/// Where a record has the id of its twin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaTwinId {
    /// `key`, `header` (with `name`) or `json` (with `pointer`).
    pub from: KafkaIdPlace,
    /// Name of the header.
    #[serde(default)]
    pub name: Option<String>,
    /// JSON pointer (RFC 6901) into the payload, for example `/device/id`.
    #[serde(default)]
    pub pointer: Option<String>,
}

/// A part of a record that can have an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaIdPlace {
    /// The record's key.
    #[default]
    Key,
    /// A header.
    Header,
    /// A place in the payload.
    Json,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaStart {
    /// At the oldest record that is kept.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At the group's offset, else at the oldest record.
    Committed,
    /// At the first record at or after `start_timestamp_ms`.
    Timestamp,
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaIsolation {
    /// Those of committed transactions.
    #[default]
    Committed,
    /// All.
    Uncommitted,
}

/// Where a record has an id of its own, and how long it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaDedupe {
    /// Name of the header that has it.
    pub header: Option<String>,
    /// JSON pointer to it in the payload.
    pub json: Option<String>,
    /// Seconds that an id is remembered. Default 86400.
    pub keep_secs: u64,
}

impl Default for KafkaDedupe {
    fn default() -> Self {
        Self { header: None, json: None, keep_secs: 86_400 }
    }
}

/// Where feedback goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaFeedback {
    /// The topic; `{model}` in it is the model's name.
    pub topic: String,
    /// Whether the brokers drop repeats of the client's own retries. Default true; false for
    /// brokers without it.
    pub idempotent: bool,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default `lz4`.
    pub compression: String,
    /// Milliseconds that a message waits for others to leave with it. Default 5.
    pub linger_ms: u64,
    /// Milliseconds after which an undelivered message is sent anew by a new producer.
    /// Default 120000.
    pub delivery_timeout_ms: u64,
}

impl Default for KafkaFeedback {
    fn default() -> Self {
        Self {
            topic: String::new(),
            idempotent: true,
            compression: "lz4".into(),
            linger_ms: 5,
            delivery_timeout_ms: 120_000,
        }
    }
}

/// Encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaTls {
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// PEM file of our own certificate, with `key_file`.
    pub cert_file: Option<String>,
    /// PEM file of its private key.
    pub key_file: Option<String>,
}

/// Log-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user's name.
    pub username: String,
    /// The password; write `${file:PATH}` or `${env:NAME}`.
    pub password: Secret,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topics: Vec::new(),
            model: None,
            twin_id: KafkaTwinId::default(),
            decoder: Format::Json,
            group: "twinflow".into(),
            client_id: "twinflow".into(),
            start: KafkaStart::Earliest,
            start_timestamp_ms: None,
            isolation: KafkaIsolation::Committed,
            connections: 1,
            dedupe: None,
            feedback: None,
            feedback_expiry_secs: 3600,
            tls: None,
            sasl: None,
            prefetch_bytes_max: 32 << 20,
            fetch_wait_max_ms: 100,
            commit_interval_ms: 1000,
            discovery_interval_ms: 10_000,
            connect_timeout_ms: 10_000,
            auth_give_up_secs: 30,
            statistics_interval_ms: 5000,
            client_options: BTreeMap::new(),
        }
    }
}
