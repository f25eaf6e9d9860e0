//! What was checked of the settings: everything that a session needs to know.

use std::time::Duration;

use super::{
    options,
    settings::{KafkaDedupe, KafkaFeedback, KafkaIdPlace, KafkaSettings, KafkaStart, KafkaTwinId},
};
use crate::{
    error::{ConnectorError, ErrorKind},
    message::model_name_error,
    pointer::Pointer,
};

/// Checked settings.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: KafkaSettings,
    pub(super) topics: Vec<TopicPlan>,
    pub(super) dedupe: Option<IdPlace>,
}

/// A topic to read.
#[derive(Debug)]
pub(super) struct TopicPlan {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) twin_id: IdPlace,
}

/// Where a record has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdPlace {
    Key,
    Header(String),
    Json(Pointer),
}

pub(super) fn misconfigured(doing: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Misconfigured, doing)
}

impl Plan {
    pub(super) fn new(settings: KafkaSettings) -> Result<Self, ConnectorError> {
        numbers(&settings)?;
        if settings.brokers.is_empty() {
            return Err(misconfigured(
                "use `brokers`: name one or more, like brokers = [\"127.0.0.1:9092\"]",
            ));
        }
        if let Some(wrong) = settings.brokers.iter().find(|broker| !is_address(broker)) {
            let text =
                format!("use `brokers`: \"{wrong}\" is no host and port like \"kafka:9092\"");
            return Err(misconfigured(text));
        }
        if settings.group.is_empty() {
            return Err(misconfigured(
                "use `group = \"\"`: the brokers file offsets for monitoring under it; name one, \
                 and set commit_interval_ms = 0 to commit none",
            ));
        }
        match (settings.start, settings.start_timestamp_ms) {
            (KafkaStart::Timestamp, None) => {
                return Err(misconfigured(
                    "use `start = \"timestamp\"`: say when with start_timestamp_ms",
                ));
            }
            (start, Some(_)) if start != KafkaStart::Timestamp => {
                return Err(misconfigured(
                    "use `start_timestamp_ms`: it counts with start = \"timestamp\" only",
                ));
            }
            _ => {}
        }
        let topics = topics(&settings)?;
        let dedupe = settings.dedupe.as_ref().map(dedupe_place).transpose()?;
        if let Some(feedback) = &settings.feedback {
            check_feedback(feedback, &topics)?;
        }
        let plan = Self { settings, topics, dedupe };
        options::check(&plan.settings)?;
        Ok(plan)
    }

    /// How long a blocking question to the brokers may take; the consumer goes on meanwhile.
    pub(super) fn question(&self) -> Duration {
        Duration::from_millis(self.settings.connect_timeout_ms.min(2000))
    }
}

fn numbers(settings: &KafkaSettings) -> Result<(), ConnectorError> {
    let feedback = settings.feedback.as_ref();
    let ranges = [
        ("connections", settings.connections as u64, 1, 256),
        ("prefetch_bytes_max", settings.prefetch_bytes_max as u64, 1 << 10, 2 << 30),
        ("fetch_wait_max_ms", settings.fetch_wait_max_ms, 0, 300_000),
        ("commit_interval_ms", settings.commit_interval_ms, 0, 3_600_000),
        ("discovery_interval_ms", settings.discovery_interval_ms, 100, 86_400_000),
        ("connect_timeout_ms", settings.connect_timeout_ms, 100, 3_600_000),
        ("auth_give_up_secs", settings.auth_give_up_secs, 0, 86_400),
        ("statistics_interval_ms", settings.statistics_interval_ms, 100, 86_400_000),
        ("feedback_expiry_secs", settings.feedback_expiry_secs, 1, 366 * 86_400),
        ("dedupe.keep_secs", settings.dedupe.as_ref().map_or(1, |d| d.keep_secs), 1, 366 * 86_400),
        ("feedback.linger_ms", feedback.map_or(0, |f| f.linger_ms), 0, 900_000),
        (
            "feedback.delivery_timeout_ms",
            feedback.map_or(1000, |f| f.delivery_timeout_ms),
            1000,
            86_400_000,
        ),
    ];
    match ranges.iter().find(|(_, value, least, most)| value < least || value > most) {
        Some((key, value, least, most)) => Err(misconfigured(format!(
            "use `{key} = {value}`: it must be at least {least} and at most {most}"
        ))),
        None => Ok(()),
    }
}

fn is_address(broker: &str) -> bool {
    let port = broker.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    matches!(port, Some((host, Ok(port))) if !host.is_empty() && port > 0)
        && !broker.contains([',', ' ', '/'])
}

fn topics(settings: &KafkaSettings) -> Result<Vec<TopicPlan>, ConnectorError> {
    if settings.topics.is_empty() {
        return Err(misconfigured(
            "use `topics`: name one or more, like topics = [{ topic = \"readings\", model = \
             \"pumps\" }]",
        ));
    }
    let mut topics: Vec<TopicPlan> = Vec::with_capacity(settings.topics.len());
    for topic in &settings.topics {
        if let Some(wrong) = topic_name_error(&topic.topic) {
            return Err(misconfigured(format!("use `topics`: {wrong}")));
        }
        if topics.iter().any(|known| known.name == topic.topic) {
            let text = format!("use `topics`: \"{}\" is named twice", topic.topic);
            return Err(misconfigured(text));
        }
        let Some(model) = topic.model.as_ref().or(settings.model.as_ref()) else {
            return Err(misconfigured(format!(
                "use `topics`: \"{}\" needs a model, its own or the connection's",
                topic.topic
            )));
        };
        if let Some(wrong) = model_name_error(model) {
            return Err(misconfigured(format!("use `topics`: {wrong}")));
        }
        let twin_id = id_place(topic.twin_id.as_ref().unwrap_or(&settings.twin_id))?;
        topics.push(TopicPlan { name: topic.topic.clone(), model: model.clone(), twin_id });
    }
    Ok(topics)
}

/// Says what is wrong with the name of a topic, if anything is.
fn topic_name_error(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.starts_with('^') {
        return Some(format!(
            "\"{name}\" is a pattern, and this version reads topics by their names only"
        ));
    }
    let fits = (1..=249).contains(&name.len()) && name.chars().all(allowed) && name != ".";
    (!fits || name == "..")
        .then(|| format!("\"{name}\" is no name of a topic: 1 to 249 of a-z A-Z 0-9 . _ -"))
}

fn id_place(rule: &KafkaTwinId) -> Result<IdPlace, ConnectorError> {
    match (rule.from, &rule.name, &rule.pointer) {
        (KafkaIdPlace::Key, None, None) => Ok(IdPlace::Key),
        (KafkaIdPlace::Header, Some(name), None) if !name.is_empty() => {
            Ok(IdPlace::Header(name.clone()))
        }
        (KafkaIdPlace::Json, None, Some(pointer)) => Pointer::new(pointer)
            .map(IdPlace::Json)
            .map_err(|wrong| misconfigured(format!("use `twin_id`: {wrong}"))),
        _ => Err(misconfigured(
            "use `twin_id`: write { from = \"key\" }, { from = \"header\", name = \"..\" } or \
             { from = \"json\", pointer = \"/..\" }",
        )),
    }
}

fn dedupe_place(rule: &KafkaDedupe) -> Result<IdPlace, ConnectorError> {
    match (&rule.header, &rule.json) {
        (Some(name), None) if !name.is_empty() => Ok(IdPlace::Header(name.clone())),
        (None, Some(pointer)) => Pointer::new(pointer)
            .map(IdPlace::Json)
            .map_err(|wrong| misconfigured(format!("use `dedupe`: {wrong}"))),
        _ => Err(misconfigured(
            "use `dedupe`: write { header = \"..\" } or { json = \"/id\" }, one of the two",
        )),
    }
}

fn check_feedback(feedback: &KafkaFeedback, topics: &[TopicPlan]) -> Result<(), ConnectorError> {
    for topic in topics {
        let to = feedback.topic.replace("{model}", &topic.model);
        if let Some(wrong) = topic_name_error(&to) {
            return Err(misconfigured(format!("use `feedback`: {wrong}")));
        }
        if topics.iter().any(|read| read.name == to) {
            return Err(misconfigured(format!(
                "use `feedback`: this connection reads \"{to}\" itself, so a twin's message would \
                 come back to it; name another topic"
            )));
        }
    }
    let known = ["none", "gzip", "snappy", "lz4", "zstd"];
    if !known.contains(&feedback.compression.as_str()) {
        let text = format!(
            "use `feedback.compression = \"{}\"`: it is one of {}",
            feedback.compression,
            known.join(", ")
        );
        return Err(misconfigured(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigurableConnector, kafka::Kafka};

    fn refusal(json: &str) -> String {
        let mut settings = serde_json::json!({
            "brokers": ["127.0.0.1:9092"], "topics": [{"topic": "t", "model": "m"}],
        });
        let change: serde_json::Value = serde_json::from_str(json).unwrap();
        for (key, value) in change.as_object().unwrap() {
            settings[key] = value.clone();
        }
        match serde_json::from_value(settings) {
            Err(error) => error.to_string(),
            Ok(settings) => match Kafka::from_settings(settings) {
                Ok(_) => "accepted".into(),
                Err(error) => crate::error::chain(&error),
            },
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_a_sentence() {
        let wrong = [
            (r#"{"brokers":[]}"#, "`brokers`: name one or more"),
            (r#"{"brokers":["kafka"]}"#, "\"kafka\" is no host and port"),
            (r#"{"brokers":["kafka://a:1"]}"#, "is no host and port"),
            (r#"{"topics":[]}"#, "`topics`: name one or more"),
            (r#"{"topics":[{"topic":"t"}]}"#, "\"t\" needs a model"),
            (r#"{"topics":[{"topic":"t","model":"a b"}]}"#, "use a-z A-Z 0-9 _ -"),
            (r#"{"topics":[{"topic":"^t.*","model":"m"}]}"#, "is a pattern"),
            (r#"{"topics":[{"topic":"a b","model":"m"}]}"#, "no name of a topic"),
            (
                r#"{"topics":[{"topic":"t","model":"m"},{"topic":"t","model":"m"}]}"#,
                "\"t\" is named twice",
            ),
            (r#"{"group":""}"#, "`group = \"\"`"),
            (r#"{"start":"timestamp"}"#, "start_timestamp_ms"),
            (r#"{"start_timestamp_ms":1}"#, "start = \"timestamp\" only"),
            (r#"{"start":"newest"}"#, "unknown variant `newest`"),
            (r#"{"twin_id":{"from":"header"}}"#, "`twin_id`: write"),
            (r#"{"twin_id":{"from":"json","pointer":"id"}}"#, "no JSON pointer"),
            (r#"{"dedupe":{"header":"a","json":"/b"}}"#, "one of the two"),
            (r#"{"dedupe":{"json":"/b","keep_secs":0}}"#, "`dedupe.keep_secs = 0`"),
            (r#"{"feedback":{"topic":"t"}}"#, "reads \"t\" itself"),
            (r#"{"feedback":{"topic":"c","compression":"rar"}}"#, "one of none, gzip"),
            (r#"{"connections":0}"#, "`connections = 0`: it must be at least 1"),
            (r#"{"sasl":{"mechanism":"GSSAPI","username":"a","password":"b"}}"#, "no mechanism"),
            (r#"{"sasl":{"mechanism":"PLAIN","username":"","password":"b"}}"#, "a username"),
            (r#"{"tls":{"ca_file":"/no/such"}}"#, "read \"/no/such\": No such file"),
            (r#"{"tls":{"cert_file":"/no/such"}}"#, "go together"),
            (r#"{"client_options":{"no.such.option":"1"}}"#, "no.such.option"),
            (r#"{"client_options":{"fetch.max.bytes":"much"}}"#, "fetch.max.bytes"),
            (r#"{"broker":["a:1"]}"#, "unknown field `broker`"),
        ];
        for (json, says) in wrong {
            let said = refusal(json);
            assert!(said.contains(says), "{json}: {said}");
        }
    }

    #[test]
    fn options_that_delivery_depends_on_are_refused_with_the_reason() {
        for (option, why) in [
            ("enable.auto.commit", "committed after the epoch"),
            ("auto.offset.reset", "the positions in the state decide"),
            ("group.instance.id", "partitions are assigned by twinflow"),
            ("acks", "all replicas in sync"),
            ("sasl.password", "use `sasl`"),
            ("enable.ssl.certificate.verification", "could be anybody"),
            ("ssl.endpoint.identification.algorithm", "could be anybody"),
            ("ssl.keystore.password", "use `tls.cert_file`"),
            ("sasl.oauthbearer.client.secret", "PLAIN and SCRAM"),
            ("plugin.library.paths", "any library"),
        ] {
            let said = refusal(&format!(r#"{{"client_options":{{"{option}":"1"}}}}"#));
            assert!(said.contains(option) && said.contains(why), "{said}");
        }
        assert_eq!(refusal(r#"{"client_options":{"fetch.max.bytes":"1000000"}}"#), "accepted");
    }

    #[test]
    fn a_password_is_not_shown() {
        let sasl = serde_json::json!({
            "brokers": ["a:1"], "topics": [{"topic": "t", "model": "m"}],
            "sasl": {"mechanism": "PLAIN", "username": "ann", "password": "hunter2"},
        });
        let settings: KafkaSettings = serde_json::from_value(sasl).unwrap();
        let shown = serde_json::to_string(&settings).unwrap();
        let connector = Kafka::from_settings(settings).unwrap();
        for text in [format!("{connector:?}"), format!("{connector:#?}"), shown] {
            assert!(text.contains("ann") && !text.contains("hunter2"), "{text}");
        }
    }
}
