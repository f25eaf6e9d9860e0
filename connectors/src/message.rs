//! A message as a connector hands it over, and the limits that every message meets.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole milliseconds since 1970.
    pub fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `secs` seconds later.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(1_000_000)))
    }

    /// Seconds from `earlier` to this moment, 0 if `earlier` is later.
    pub fn secs_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }
}

/// The clock that the engine passes in; nothing below it reads the machine's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How payload bytes are meant: chosen per connection (`decoder`), used by `deserialize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Format {
    /// JSON text (RFC 8259).
    #[default]
    Json = 0,
    /// Opaque bytes; only models that take raw messages can read them.
    Bytes = 1,
}

impl Format {
    /// The format with this number in a row; unknown numbers are opaque bytes.
    pub fn from_number(number: u8) -> Self {
        if number == 0 { Self::Json } else { Self::Bytes }
    }
}

/// A partition of a replayable connection, as registered by
/// [`LinkIntake::partition`](crate::link::LinkIntake::partition).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionRef(pub(crate) u32);

/// One message on its way in. Everything is borrowed: the bytes are copied once, into the row.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Name of the model that the twin belongs to.
    pub model: &'a str,
    /// Twin id: 1 to 256 bytes of UTF-8 without control characters.
    pub twin: &'a str,
    /// The payload, at most 1 MiB.
    pub payload: &'a [u8],
    /// Kafka headers, MQTT user properties, HTTP headers.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Names captured by a topic template; they come back with feedback.
    pub names: &'a [(&'a str, &'a str)],
    /// The sender's own id of this message, for dedupe (law D5).
    pub id: Option<&'a [u8]>,
    /// Partition and position in a replayable source; `None` where the upstream waits for an
    /// acknowledgement instead.
    pub position: Option<(PartitionRef, u64)>,
    /// The source's own time of the message.
    pub source_time: Option<Timestamp>,
}

impl<'a> Message<'a> {
    /// A message with nothing but its model, twin and payload.
    pub fn new(model: &'a str, twin: &'a str, payload: &'a [u8]) -> Self {
        Self {
            model,
            twin,
            payload,
            headers: &[],
            names: &[],
            id: None,
            position: None,
            source_time: None,
        }
    }
}

/// Limits of laws.md, "Numbers".
pub mod limits {
    /// Bytes of one payload; above it the message is undeliverable.
    pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
    /// Bytes of a twin id.
    pub const TWIN_ID_BYTES_MAX: usize = 256;
    /// Bytes of a model's name.
    pub const MODEL_NAME_BYTES_MAX: usize = 64;
    /// Bytes of all attributes of a message: id, names, headers.
    pub const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;
    /// Headers of a message.
    pub const HEADERS_MAX: usize = 64;
    /// Of what passes a limit, this much is kept in its dead letter (law D12).
    pub const CUT_BYTES: usize = 4 << 10;
    /// Rows of one delivery, and messages that an epoch prefers.
    pub const DELIVERY_ROWS_MAX: usize = 4096;
    /// Bytes of the rows of one delivery; a larger single row is a delivery alone.
    pub const DELIVERY_BYTES_MAX: usize = 1 << 20;
    /// Rows that wait in the queue of one link.
    pub const QUEUE_ROWS_MAX: usize = 8192;
    /// Bytes that wait in the queue of one link.
    pub const QUEUE_BYTES_MAX: usize = 8 << 20;
    /// Bytes that wait in all queues of a process.
    pub const QUEUES_BYTES_MAX: usize = 256 << 20;
    /// A frame of rows is closed at this size.
    pub const FRAME_BYTES: usize = 256 << 10;
    /// Unconfirmed feedback that a connection keeps (law D6).
    pub const OUTBOX_MAX: usize = 100_000;
    /// Bytes of unconfirmed feedback that a connection keeps (law D6).
    pub const OUTBOX_BYTES_MAX: usize = 64 << 20;
}

/// Says what is wrong with a twin id, if anything is.
///
/// 1 to 256 bytes of UTF-8 without control characters (behaviour.md 1.1).
#[inline]
pub fn twin_id_error(id: &str) -> Option<String> {
    if (1..=limits::TWIN_ID_BYTES_MAX).contains(&id.len()) && !has_control(id) {
        return None;
    }
    what_is_wrong(id)
}

#[cold]
fn what_is_wrong(id: &str) -> Option<String> {
    if id.is_empty() {
        Some("the twin id is empty".into())
    } else if id.len() > limits::TWIN_ID_BYTES_MAX {
        let (len, max) = (id.len(), limits::TWIN_ID_BYTES_MAX);
        Some(format!("the twin id has {len} bytes, the limit is {max}"))
    } else if has_control(id) {
        Some("the twin id has control characters".into())
    } else {
        None
    }
}

/// Ids of printable ASCII, the common case, are looked at eight bytes at a time.
#[inline]
fn has_control(id: &str) -> bool {
    let (words, rest) = id.as_bytes().as_chunks::<8>();
    let other = words.iter().any(|word| !all_printable(*word))
        || rest.iter().any(|byte| !(b' '..=b'~').contains(byte));
    other && id.chars().any(char::is_control)
}

/// Whether all eight are printable ASCII. None has its upper bit, none is smaller than a space
/// (subtracting one borrows from the upper bit), none is DEL (adding one sets the upper bit).
#[inline]
fn all_printable(bytes: [u8; 8]) -> bool {
    const UPPER: u64 = 0x8080_8080_8080_8080;
    const ONE: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    let small = word.wrapping_sub(ONE * u64::from(b' '));
    // Without an upper bit in any byte, no addition carries into the next one; a borrow comes from
    // a small byte, which has been found already.
    (word | small | word.wrapping_add(ONE)) & UPPER == 0
}

/// Says what is wrong with a model's name, if anything is.
///
/// 1 to 64 of `a-z A-Z 0-9 _ -` (behaviour.md 1.1).
pub fn model_name_error(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.trim().is_empty() {
        Some("the model name is blank".into())
    } else if name.len() > limits::MODEL_NAME_BYTES_MAX {
        let (len, max) = (name.len(), limits::MODEL_NAME_BYTES_MAX);
        Some(format!("the model name \"{name}\" has {len} bytes, the limit is {max}"))
    } else {
        let bad = name.chars().find(|c| !allowed(*c))?;
        Some(format!("the model name \"{}\" has {bad:?}; use a-z A-Z 0-9 _ -", name.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twin_ids_are_checked_at_both_sides_of_each_limit() {
        assert_eq!(twin_id_error(&"x".repeat(256)), None);
        assert!(twin_id_error(&"x".repeat(257)).is_some());
        assert!(twin_id_error("").is_some());
        assert!(twin_id_error("a\u{7f}").is_some());
        assert!(twin_id_error("a\u{85}").is_some(), "C1 controls count");
        assert_eq!(twin_id_error("M\u{fc}ller/17 +#"), None);
    }

    #[test]
    fn a_control_character_is_found_at_every_place_of_an_id() {
        for byte in 0u8..=127 {
            for place in 0..20 {
                let mut id = "twin-0000123-pump-17".as_bytes().to_vec();
                id[place] = byte;
                let id = String::from_utf8(id).unwrap();
                let expected = char::from(byte).is_control();
                assert_eq!(twin_id_error(&id).is_some(), expected, "{byte:#04x} at {place}");
            }
        }
    }

    #[test]
    fn model_names_are_checked_at_both_sides_of_each_limit() {
        assert_eq!(model_name_error(&"m".repeat(64)), None);
        assert!(model_name_error(&"m".repeat(65)).is_some());
        assert!(model_name_error(" ").is_some());
        assert!(model_name_error("a b").is_some());
        assert_eq!(model_name_error("wind-turbine_2"), None);
    }
}
