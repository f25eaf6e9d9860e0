//! The settings, checked: what sessions work with.

use std::fs;

use zeroize::Zeroizing;

use super::{
    client::{Credentials, Filter},
    settings::{MqttIdPlace, MqttProtocol, MqttRetained, MqttSettings, MqttTls},
    template::{OutTemplate, TopicTemplate},
};
use crate::{
    error::{ConnectorError, ErrorKind},
    message::{Format, model_name_error},
    pointer::Pointer,
};

/// Everything that a session needs, checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) host: String,
    pub(super) port: u16,
    /// Certificates; `None` without TLS.
    pub(super) tls: Option<MqttTls>,
    pub(super) protocol: MqttProtocol,
    pub(super) client_id: String,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) topics: Vec<Topic>,
    pub(super) twin: TwinPlace,
    pub(super) format: Format,
    pub(super) session_expiry_secs: u32,
    pub(super) keep_alive_secs: u16,
    pub(super) connect_timeout_secs: u16,
    pub(super) receive_max: u16,
    pub(super) packet_bytes_max: u32,
    pub(super) retained: MqttRetained,
    pub(super) dedupe: Option<(IdPlace, u64)>,
    pub(super) feedback: Option<FeedbackPlan>,
    pub(super) feedback_expiry_secs: u64,
    pub(super) last_will: Option<Status>,
}

/// A subscription with what its messages are for.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) template: TopicTemplate,
    pub(super) model: ModelPlace,
    /// Index of the twin's id among the captured names, where it comes from the topic.
    pub(super) twin: Option<usize>,
    pub(super) qos: u8,
}

/// Where the name of the model comes from.
#[derive(Debug)]
pub(super) enum ModelPlace {
    Fixed(String),
    /// Index among the captured names.
    Captured(usize),
}

/// Where the twin's id comes from.
#[derive(Debug)]
pub(super) enum TwinPlace {
    /// In the topic; and once more where this says, if the two have to be the same.
    Topic(Option<IdPlace>),
    In(IdPlace),
}

/// A place in a message that has an id.
#[derive(Debug)]
pub(super) enum IdPlace {
    UserProperty(String),
    Json(Pointer),
}

/// Where feedback goes.
#[derive(Debug)]
pub(super) struct FeedbackPlan {
    pub(super) template: OutTemplate,
    pub(super) retain: bool,
    pub(super) expiry_secs: Option<u32>,
    pub(super) in_flight_max: u16,
}

/// The message that says whether we are there.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) topic: String,
    pub(super) offline: String,
    pub(super) online: String,
}

impl Plan {
    pub(super) fn new(settings: MqttSettings) -> Result<Self, ConnectorError> {
        let (tls, host, port) = address(&settings.url)?;
        check_numbers(&settings)?;
        check_names(&settings)?;
        let twin = twin_place(&settings)?;
        let topics = topics(&settings, &twin)?;
        let dedupe = dedupe(&settings)?;
        let feedback = feedback(&settings, &topics)?;
        let last_will = last_will(&settings)?;
        if settings.tls.is_some() && !tls {
            return Err(wrong("use `tls`: the `url` begins with mqtt://; write mqtts:// for TLS"));
        }
        let tls = tls.then(|| settings.tls.unwrap_or_default());
        if let Some(tls) = &tls
            && tls.cert_file.is_some() != tls.key_file.is_some()
        {
            return Err(wrong("use `tls`: cert_file and key_file go together"));
        }
        Ok(Self {
            host,
            port,
            tls,
            protocol: settings.version,
            client_id: settings.client_id,
            username: settings.username,
            password_file: settings.password_file,
            topics,
            twin,
            format: settings.decoder,
            session_expiry_secs: settings.session_expiry_secs,
            keep_alive_secs: settings.keep_alive_secs,
            connect_timeout_secs: settings.connect_timeout_secs,
            receive_max: settings.receive_max,
            packet_bytes_max: settings.packet_bytes_max,
            retained: settings.retained,
            dedupe,
            feedback,
            feedback_expiry_secs: settings.feedback_expiry_secs,
            last_will,
        })
    }

    /// Where the broker is, for people.
    pub(super) fn address(&self) -> String {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    pub(super) fn filters(&self) -> Vec<Filter> {
        let filter = |topic: &Topic| Filter { filter: topic.template.filter(), qos: topic.qos };
        self.topics.iter().map(filter).collect()
    }

    /// Name and password, the latter read now.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, ConnectorError> {
        let Some(name) = &self.username else { return Ok(None) };
        let password = match &self.password_file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|cause| {
                    wrong(format!("read `password_file` {path}")).because(cause)
                })?;
                let text = Zeroizing::new(text);
                text.trim_end_matches(['\r', '\n']).to_owned().into()
            }
            None => Zeroizing::default(),
        };
        Ok(Some((name.clone(), password)))
    }
}

/// Whether TLS is spoken, the host and the port of an address.
fn address(url: &str) -> Result<(bool, String, u16), ConnectorError> {
    if url.is_empty() {
        return Err(wrong("go without `url`: name the broker, like mqtt://127.0.0.1:1883"));
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // What stands before an @ may be a password, so it is not repeated.
    if rest.contains('@') {
        return Err(wrong(
            "use `url` with a name or password in it: write `username` and `password_file`",
        ));
    }
    let tls = match scheme {
        "mqtt" | "tcp" => false,
        "mqtts" | "ssl" => true,
        "ws" | "wss" => {
            return Err(wrong(format!(
                "use `url = \"{url}\"`: this version speaks no MQTT over WebSocket; use the \
                 broker's port for mqtt:// or mqtts://"
            )));
        }
        _ => {
            return Err(wrong(format!(
                "use `url = \"{url}\"`: write it like mqtt://127.0.0.1:1883, or mqtts:// for TLS"
            )));
        }
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let default_port = if tls { 8883 } else { 1883 };
    // An address of IPv6 is in brackets, and so are its colons.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (rest, Some(default_port)),
    };
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match port {
        Some(port) if !plain.is_empty() && !plain.contains(['/', '?', '#', ' ']) && port > 0 => {
            Ok((tls, host.to_owned(), port))
        }
        _ => Err(wrong(format!("use `url = \"{url}\"`: host and port are not like HOST:1883"))),
    }
}

fn check_numbers(settings: &MqttSettings) -> Result<(), ConnectorError> {
    let least = [
        ("keep_alive_secs", u64::from(settings.keep_alive_secs), 5),
        ("connect_timeout_secs", u64::from(settings.connect_timeout_secs), 1),
        ("receive_max", u64::from(settings.receive_max), 1),
        ("session_expiry_secs", u64::from(settings.session_expiry_secs), 60),
        ("packet_bytes_max", u64::from(settings.packet_bytes_max), 1024),
        ("feedback_expiry_secs", settings.feedback_expiry_secs, 1),
    ];
    if let Some((key, value, least)) = least.iter().find(|(_, value, least)| value < least) {
        return Err(wrong(format!("use `{key} = {value}`: it must be at least {least}")));
    }
    if settings.packet_bytes_max > PACKET_BYTES_MAX {
        let value = settings.packet_bytes_max;
        return Err(wrong(format!(
            "use `packet_bytes_max = {value}`: the protocol has no packet over {PACKET_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// The largest packet of the protocol.
const PACKET_BYTES_MAX: u32 = 268_435_455;

/// Bytes that every broker takes in a client id are fewer; this is what the protocol has room for.
const CLIENT_ID_BYTES_MAX: usize = 1024;

fn check_names(settings: &MqttSettings) -> Result<(), ConnectorError> {
    let id = &settings.client_id;
    if id.is_empty() {
        return Err(wrong(
            "go without `client_id`: the broker keeps our session under it; choose a name that \
             no other client of the broker has",
        ));
    }
    if id.len() > CLIENT_ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(wrong("use `client_id`: it is too long or has control characters"));
    }
    if settings.password_file.is_some() && settings.username.is_none() {
        return Err(wrong("use `password_file` without `username`: write both"));
    }
    if settings.version == MqttProtocol::V311 {
        let property = "this is MQTT 5 only, and `version` is \"3.1.1\"";
        let twin = &settings.twin_id;
        let same_as = twin.same_as.as_ref().is_some_and(|same| same.user_property.is_some());
        if twin.from == MqttIdPlace::UserProperty || same_as {
            return Err(wrong(format!("use `twin_id` from a user property: {property}")));
        }
        if settings.dedupe.as_ref().is_some_and(|dedupe| dedupe.user_property.is_some()) {
            return Err(wrong(format!("use `dedupe` with a user property: {property}")));
        }
        if settings.feedback.as_ref().is_some_and(|feedback| feedback.expiry_secs.is_some()) {
            return Err(wrong(format!("use `feedback` with expiry_secs: {property}")));
        }
    }
    Ok(())
}

fn twin_place(settings: &MqttSettings) -> Result<TwinPlace, ConnectorError> {
    let twin = &settings.twin_id;
    let use_it = |problem: &str| wrong(format!("use `twin_id`: {problem}"));
    match (twin.from, &twin.name, &twin.pointer) {
        (MqttIdPlace::Topic, _, None) => {
            let same = twin.same_as.as_ref();
            let place = same.map(|same| id_place(&same.user_property, &same.json));
            Ok(TwinPlace::Topic(place.transpose().map_err(|e| use_it(&format!("same_as: {e}")))?))
        }
        _ if twin.same_as.is_some() => Err(use_it("same_as is for ids that the topic has")),
        (MqttIdPlace::UserProperty, Some(name), None) => {
            Ok(TwinPlace::In(IdPlace::UserProperty(name.clone())))
        }
        (MqttIdPlace::UserProperty, ..) => {
            Err(use_it("from a user property it needs its `name` and no pointer"))
        }
        (MqttIdPlace::Json, None, Some(pointer)) => {
            Ok(TwinPlace::In(IdPlace::Json(Pointer::new(pointer).map_err(|e| use_it(&e))?)))
        }
        (MqttIdPlace::Json, ..) => Err(use_it("from json it needs a `pointer` and no name")),
        (MqttIdPlace::Topic, _, Some(_)) => Err(use_it("from the topic it has no pointer")),
    }
}

fn topics(settings: &MqttSettings, twin: &TwinPlace) -> Result<Vec<Topic>, ConnectorError> {
    if settings.topics.is_empty() {
        return Err(wrong(
            "use `topics = []`: name one, like { topic = \"plant/{twin}/telemetry\", model = .. }",
        ));
    }
    let wrong_qos = |qos: u8| wrong(format!("use `qos = {qos}`: it is 0, 1 or 2"));
    let mut topics = Vec::with_capacity(settings.topics.len());
    for topic in &settings.topics {
        let text = &topic.topic;
        let bad = |problem: &str| wrong(format!("use `topics`: \"{text}\" {problem}"));
        let template = TopicTemplate::new(text).map_err(|problem| bad(&problem))?;
        let place = |wanted: &str| template.names().position(|name| name == wanted);
        let model = match (&topic.model, place("model"), &settings.model) {
            (Some(_), Some(_), _) => return Err(bad("has {model} and `model` as well")),
            (Some(model), None, _) | (None, None, Some(model)) => {
                if let Some(problem) = model_name_error(model) {
                    return Err(bad(&format!("has no usable model: {problem}")));
                }
                ModelPlace::Fixed(model.clone())
            }
            (None, Some(index), _) => ModelPlace::Captured(index),
            (None, None, None) => return Err(bad("has no model: give it one, or {model}")),
        };
        let name = settings.twin_id.name.as_deref().unwrap_or("twin");
        let twin = match twin {
            TwinPlace::Topic(_) => Some(place(name).ok_or_else(|| {
                bad(&format!("has no {{{name}}}: it is where the twin's id comes from"))
            })?),
            TwinPlace::In(_) => None,
        };
        let qos = topic.qos.unwrap_or(settings.qos);
        if qos > 2 {
            return Err(wrong_qos(qos));
        }
        // More than at least once is not promised, and costs two packets more.
        topics.push(Topic { template, model, twin, qos: qos.min(1) });
    }
    Ok(topics)
}

fn dedupe(settings: &MqttSettings) -> Result<Option<(IdPlace, u64)>, ConnectorError> {
    let Some(dedupe) = &settings.dedupe else { return Ok(None) };
    let bad = |problem: &str| wrong(format!("use `dedupe`: {problem}"));
    if dedupe.keep_secs == 0 {
        return Err(bad("keep_secs must be at least 1"));
    }
    let place = id_place(&dedupe.user_property, &dedupe.json).map_err(|problem| bad(&problem))?;
    Ok(Some((place, dedupe.keep_secs)))
}

/// The one place that is named.
fn id_place(user_property: &Option<String>, json: &Option<String>) -> Result<IdPlace, String> {
    match (user_property, json) {
        (Some(name), None) => Ok(IdPlace::UserProperty(name.clone())),
        (None, Some(pointer)) => Ok(IdPlace::Json(Pointer::new(pointer)?)),
        _ => Err("it needs one of user_property and json".into()),
    }
}

fn feedback(
    settings: &MqttSettings,
    topics: &[Topic],
) -> Result<Option<FeedbackPlan>, ConnectorError> {
    let Some(feedback) = &settings.feedback else { return Ok(None) };
    let text = &feedback.topic;
    let bad = |problem: &str| wrong(format!("use `feedback`: the topic \"{text}\" {problem}"));
    let template = OutTemplate::new(text).map_err(|problem| bad(&problem))?;
    for name in template.names().filter(|name| !["twin", "model"].contains(name)) {
        let lacks = |topic: &&Topic| !topic.template.names().any(|known| known == name);
        if let Some(topic) = topics.iter().find(lacks) {
            let topic = topic.template.text();
            return Err(bad(&format!("has {{{name}}}, and \"{topic}\" does not capture it")));
        }
    }
    if feedback.in_flight_max == 0 {
        return Err(wrong("use `feedback`: in_flight_max must be at least 1"));
    }
    Ok(Some(FeedbackPlan {
        template,
        retain: feedback.retain,
        expiry_secs: feedback.expiry_secs,
        in_flight_max: feedback.in_flight_max,
    }))
}

fn last_will(settings: &MqttSettings) -> Result<Option<Status>, ConnectorError> {
    let Some(will) = &settings.last_will else { return Ok(None) };
    let topic = OutTemplate::new(&will.topic)
        .ok()
        .filter(|template| template.names().next().is_none())
        .and_then(|template| template.topic(|_| None));
    let Some(topic) = topic else {
        return Err(wrong(format!("use `last_will`: \"{}\" is no topic to write", will.topic)));
    };
    let (offline, online) = (will.payload.clone(), will.online.clone());
    Ok(Some(Status { topic, offline, online }))
}

fn wrong(doing: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Misconfigured, doing)
}
