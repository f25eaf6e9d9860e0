//! The body of a request for one twin, taken apart: one message, or an array of them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{depth::is_deeper, problem::Problem, settings::RestSettings};
use crate::message::limits::PAYLOAD_BYTES_MAX;

/// The exact bytes of each message, and whether the body was an array.
pub(super) fn payloads<'b>(
    body: &'b [u8],
    settings: &RestSettings,
) -> Result<(Vec<&'b RawValue>, bool), Problem> {
    let is_array = body.trim_ascii_start().first() == Some(&b'[');
    let most = settings.depth_max;
    if is_deeper(body, most + usize::from(is_array)) {
        return Err(too_deep(most));
    }
    let mut payloads: Vec<&RawValue> = Vec::new();
    let read = if is_array {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let elements = UpTo { most: settings.lines_max, found: &mut payloads };
        elements.deserialize(&mut reader).and_then(|()| reader.end())
    } else {
        serde_json::from_slice(body).map(|payload| payloads.push(payload))
    };
    if payloads.len() > settings.lines_max {
        let detail = format!("the array has more than {} messages", settings.lines_max);
        return Err(Problem::new(413, "too-many-messages", detail));
    }
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::new(400, "bad-json", format!("the body is not JSON: {error}"))
            .with("line", line)
            .with("column", column)
    })?;
    if payloads.is_empty() {
        return Err(Problem::new(400, "no-messages", "the array is empty"));
    }
    let long = payloads.iter().position(|payload| payload.get().len() > PAYLOAD_BYTES_MAX);
    if let Some(index) = long {
        let len = payloads[index].get().len();
        let detail = format!("message {index} has {len} bytes, the limit is {PAYLOAD_BYTES_MAX}");
        return Err(Problem::new(413, "message-too-large", detail));
    }
    Ok((payloads, is_array))
}

/// The refusal of what is nested too deep.
pub(super) fn too_deep(most: usize) -> Problem {
    let detail = format!("the message has more than {most} objects and lists within each other");
    Problem::new(400, "too-deep", detail)
}

/// Reads an array and gives up behind one element too many: a body within its limit may have
/// millions, and each would cost more room than it has bytes.
struct UpTo<'f, 'b> {
    most: usize,
    found: &'f mut Vec<&'b RawValue>,
}

impl<'b> DeserializeSeed<'b> for UpTo<'_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'b> Visitor<'b> for UpTo<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of messages")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(payload) = list.next_element()? {
            self.found.push(payload);
            if self.found.len() > self.most {
                return Err(A::Error::custom("too many"));
            }
        }
        Ok(())
    }
}
