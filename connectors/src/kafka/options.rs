//! From settings to options of the client library, and which of those nobody may set.

use rdkafka::ClientConfig;

use super::{
    plan::misconfigured,
    settings::{KafkaFeedback, KafkaIsolation, KafkaSettings},
};
use crate::error::ConnectorError;

/// Options that delivery depends on, or that have a key of their own, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("acks", "feedback counts as sent only when all replicas in sync have it"),
    ("allow.auto.create.topics", "a misspelt topic would be made instead of noticed"),
    ("auto.commit.", "offsets are committed after the epoch that applied them, never before"),
    ("auto.offset.reset", "the positions in the state decide; use `start` for new partitions"),
    ("bootstrap.servers", "use `brokers`"),
    ("client.id", "use `client_id`"),
    ("delivery.report.only.error", "feedback is confirmed by its delivery report"),
    ("delivery.timeout.ms", "use `feedback.delivery_timeout_ms`"),
    ("dr_", "feedback is confirmed by its delivery report"),
    ("enable.auto.commit", "offsets are committed after the epoch that applied them"),
    ("enable.auto.offset.store", "offsets are committed after the epoch that applied them"),
    ("enable.gapless.guarantee", "use `feedback.idempotent`"),
    ("enable.idempotence", "use `feedback.idempotent`"),
    ("enable.partition.eof", "the end of a partition is no event here"),
    ("fetch.wait.max.ms", "use `fetch_wait_max_ms`"),
    ("group.", "partitions are assigned by twinflow, whose state has their positions"),
    ("isolation.level", "use `isolation`"),
    ("linger.ms", "use `feedback.linger_ms`"),
    ("max.in.flight", "the order of feedback depends on it"),
    ("message.timeout.ms", "use `feedback.delivery_timeout_ms`"),
    ("metadata.broker.list", "use `brokers`"),
    ("partition.assignment.strategy", "partitions are assigned by twinflow"),
    ("plugin.library.paths", LIBRARY),
    ("queue.buffering.max.ms", "use `feedback.linger_ms`"),
    ("queued.max.messages.kbytes", "use `prefetch_bytes_max`"),
    ("request.required.acks", "feedback counts as sent only when all replicas in sync have it"),
    ("retries", "a repeat that is not made is a message that is lost"),
    ("message.send.max.retries", "a repeat that is not made is a message that is lost"),
    ("sasl.mechanism", "use `sasl`"),
    ("sasl.oauthbearer.", "this version logs in with PLAIN and SCRAM"),
    ("sasl.password", "use `sasl`"),
    ("sasl.username", "use `sasl`"),
    ("security.protocol", "use `tls` and `sasl`"),
    ("ssl.ca.location", "use `tls.ca_file`"),
    ("ssl.certificate.", "use `tls.cert_file`"),
    ("ssl.endpoint.identification.algorithm", "an unverified broker could be anybody"),
    ("ssl.engine.", LIBRARY),
    ("ssl.key.", "use `tls.key_file`"),
    ("ssl.keystore.", "use `tls.cert_file` and `tls.key_file`"),
    ("ssl.providers", LIBRARY),
    ("enable.ssl.certificate.verification", "an unverified broker could be anybody"),
    ("statistics.interval.ms", "use `statistics_interval_ms`"),
    ("transactional.id", "this version writes no transactions"),
    ("enable.sasl.oauthbearer", "this version logs in with PLAIN and SCRAM"),
    ("test.mock", "a broker that is not there keeps nothing"),
];

const LIBRARY: &str = "whoever writes the file could have any library loaded";

/// Mechanisms of [`KafkaSettings::sasl`].
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

pub(super) fn check(settings: &KafkaSettings) -> Result<(), ConnectorError> {
    for option in settings.client_options.keys() {
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| option.starts_with(refused)) {
            return Err(misconfigured(format!("use `client_options`, \"{option}\": {why}")));
        }
    }
    if let Some(sasl) = &settings.sasl {
        if !MECHANISMS.contains(&sasl.mechanism.as_str()) {
            let known = MECHANISMS.join(", ");
            return Err(misconfigured(format!(
                "use `sasl`: \"{}\" is no mechanism of this version; it has {known}",
                sasl.mechanism
            )));
        }
        if sasl.username.is_empty() || sasl.password.expose().is_empty() {
            return Err(misconfigured("use `sasl`: it needs a username and a password"));
        }
    }
    if let Some(tls) = &settings.tls {
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err(misconfigured("use `tls`: cert_file and key_file go together"));
        }
        let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
        for file in files.into_iter().flatten() {
            if let Err(error) = std::fs::File::open(file) {
                return Err(misconfigured(format!("use `tls`: read \"{file}\"")).because(error));
            }
        }
    }
    // The library knows its options; its error names the one it does not take.
    let created = consumer(settings).create_native_config();
    created.map(drop).map_err(|error| misconfigured("use `client_options`").because(error))
}

/// Options of the consumer.
pub(super) fn consumer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = common(settings);
    let isolation = match settings.isolation {
        KafkaIsolation::Committed => "read_committed",
        KafkaIsolation::Uncommitted => "read_uncommitted",
    };
    config
        .set("group.id", &settings.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", isolation)
        .set("queued.max.messages.kbytes", (settings.prefetch_bytes_max >> 10).to_string())
        .set("fetch.wait.max.ms", settings.fetch_wait_max_ms.to_string())
        .set("statistics.interval.ms", settings.statistics_interval_ms.to_string());
    // What was read ahead must not run dry while a full link empties.
    set_unless_chosen(&mut config, settings, "queued.min.messages", "100000");
    set_unless_chosen(&mut config, settings, "fetch.queue.backoff.ms", "10");
    config
}

/// Options of the producer.
pub(super) fn producer(settings: &KafkaSettings, feedback: &KafkaFeedback) -> ClientConfig {
    let mut config = common(settings);
    config
        .set("enable.idempotence", feedback.idempotent.to_string())
        .set("acks", "all")
        .set("compression.type", &feedback.compression)
        .set("linger.ms", feedback.linger_ms.to_string())
        .set("message.timeout.ms", feedback.delivery_timeout_ms.to_string());
    // Without idempotence a retry could overtake.
    if !feedback.idempotent {
        config.set("max.in.flight.requests.per.connection", "1");
    }
    // The outbox of the link is the bound: 64 MiB of messages, and none of more than 1 MiB.
    set_unless_chosen(&mut config, settings, "message.max.bytes", "2097152");
    set_unless_chosen(&mut config, settings, "queue.buffering.max.kbytes", "262144");
    set_unless_chosen(&mut config, settings, "queue.buffering.max.messages", "1000000");
    config
}

fn common(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (option, value) in &settings.client_options {
        config.set(option, value);
    }
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("client.id", &settings.client_id)
        .set("security.protocol", protocol(settings));
    set_unless_chosen(&mut config, settings, "socket.keepalive.enable", "true");
    set_unless_chosen(&mut config, settings, "reconnect.backoff.max.ms", "5000");
    if let Some(tls) = &settings.tls {
        let files = [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.cert_file),
            ("ssl.key.location", &tls.key_file),
        ];
        for (option, file) in files {
            if let Some(file) = file {
                config.set(option, file);
            }
        }
    }
    if let Some(sasl) = &settings.sasl {
        config
            .set("sasl.mechanism", &sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose());
    }
    config
}

fn set_unless_chosen(config: &mut ClientConfig, settings: &KafkaSettings, key: &str, value: &str) {
    if !settings.client_options.contains_key(key) {
        config.set(key, value);
    }
}

fn protocol(settings: &KafkaSettings) -> &'static str {
    match (settings.tls.is_some(), settings.sasl.is_some()) {
        (false, false) => "PLAINTEXT",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (true, true) => "SASL_SSL",
    }
}
