//! What was checked of the settings: everything that a session needs to know.

use std::time::Duration;

use super::{
    options,
    pointer::Pointer,
    settings::{KafkaDedupe, KafkaFeedback, KafkaIdPlace, KafkaSettings, KafkaStart, KafkaTwinId},
};
use crate::{
    error::{ConnectorError, ErrorKind},
    message::model_name_error,
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
