//! From a message of the broker to a row: topic, model, twin, ids.

use std::str;

use super::{
    client::Arrived,
    plan::{IdPlace, ModelPlace, Plan, Topic, TwinPlace},
    settings::MqttRetained,
};
use crate::{
    link::Delivery,
    message::{Message, limits::CUT_BYTES},
};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// It is in the delivery.
    Pushed,
    /// It is not wanted.
    Dropped,
    /// The delivery is full.
    Full,
}

/// Ids that are read out of payloads; kept, so that each costs no allocation.
#[derive(Default)]
pub(super) struct Found {
    twin: String,
    id: String,
}

/// Puts a message into a delivery, as a row for its twin or as an undeliverable one (law S7).
pub(super) fn push(
    plan: &Plan,
    found: &mut Found,
    message: &Arrived,
    delivery: &mut Delivery<'_>,
) -> Row {
    if message.retain && plan.retained == MqttRetained::Drop {
        return Row::Dropped;
    }
    let pushed = match try_push(plan, found, message, delivery) {
        Ok(pushed) => pushed,
        Err(reason) => delivery.push_undeliverable(&message.payload, &reason, None),
    };
    if pushed { Row::Pushed } else { Row::Full }
}

fn try_push(
    plan: &Plan,
    found: &mut Found,
    message: &Arrived,
    delivery: &mut Delivery<'_>,
) -> Result<bool, String> {
    let text = str::from_utf8(&message.topic).map_err(|_| "its topic is no UTF-8".to_owned())?;
    let mut values = Vec::with_capacity(4);
    let topic = plan.topics.iter().find(|topic| topic.template.captures(text, &mut values));
    let Some(topic) = topic else {
        let topic = &text[..text.floor_char_boundary(CUT_BYTES)];
        return Err(format!("its topic \"{topic}\" fits no template"));
    };
    let model = match &topic.model {
        ModelPlace::Fixed(model) => model,
        ModelPlace::Captured(index) => values[*index],
    };
    let Found { twin: twin_buffer, id: id_buffer } = found;
    let twin = match (&plan.twin, topic.twin) {
        (TwinPlace::In(place), _) => find(place, message, twin_buffer)
            .map_err(|problem| format!("its twin's id is not there: {problem}"))?,
        (TwinPlace::Topic(same), index) => {
            let twin = values[index.unwrap_or_default()];
            if let Some(place) = same {
                check_same(twin, find(place, message, twin_buffer))?;
            }
            twin
        }
    };
    let id = match &plan.dedupe {
        // One without an id counts as new: a repetition of it would be applied again.
        Some((place, _)) => find(place, message, id_buffer).ok().map(str::as_bytes),
        None => None,
    };
    let names = names(topic, &values);
    let properties = message.properties.iter();
    let headers: Vec<_> = properties.map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
    Ok(delivery.push(&Message {
        model,
        twin,
        payload: &message.payload,
        headers: &headers,
        names: &names,
        id,
        position: None,
        source_time: None,
    }))
}

/// Whether the message says the twin that its topic says: who may write to a topic may write for
/// its twin, and for no other (S11).
fn check_same(topic: &str, message: Result<&str, String>) -> Result<(), String> {
    match message {
        Ok(twin) if twin == topic => Ok(()),
        Ok(twin) => {
            let twin = &twin[..twin.floor_char_boundary(CUT_BYTES)];
            Err(format!("its topic is for twin \"{topic}\" and the message for \"{twin}\""))
        }
        Err(problem) => Err(format!("it does not say which twin it is for: {problem}")),
    }
}

/// What comes back with feedback: all that the template captured but twin and model, which come
/// back anyway.
fn names<'a>(topic: &'a Topic, values: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let pairs = topic.template.names().zip(values.iter().copied());
    pairs.filter(|(name, _)| !["twin", "model"].contains(name)).collect()
}

fn find<'m>(
    place: &IdPlace,
    message: &'m Arrived,
    buffer: &'m mut String,
) -> Result<&'m str, String> {
    match place {
        IdPlace::UserProperty(name) => {
            let found = message.properties.iter().find(|(key, _)| key == name);
            found
                .map(|(_, value)| value.as_str())
                .ok_or_else(|| format!("it has no user property \"{name}\""))
        }
        IdPlace::Json(pointer) => {
            pointer.find(&message.payload, buffer)?;
            Ok(buffer)
        }
    }
}
