//! The answer to a message with an id, as it is stored and told to who sends the id again.
//!
//! The engine stores it with the id (law D5) and gives it back with
//! [`OutcomeKind::Repeated`](crate::link::OutcomeKind::Repeated). It is JSON, so that a state
//! directory can be read without this program:
//!
//! ```json
//! {"epoch":17,"replies":["brake",{"level":2}],"merged":true,"rejected":[4,"the reason"]}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What one message with an id came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// The epoch that applied it.
    pub epoch: u64,
    /// The feedback of its call, if that went to the sender of this message.
    #[serde(default)]
    pub replies: Vec<Box<RawValue>>,
    /// Whether it was applied in one call with later messages, which got the feedback (law P7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged: bool,
    /// Number of its dead letter and the reason, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<(u64, String)>,
}

impl StoredAnswer {
    /// An answer without replies: applied in `epoch`.
    pub fn applied(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// The answer to a message that became a dead letter.
    pub fn rejected(epoch: u64, dead_letter: u64, reason: impl Into<String>) -> Self {
        Self { epoch, rejected: Some((dead_letter, reason.into())), ..Self::default() }
    }

    /// Adds the payload of one feedback, in the form of [`reply_value`].
    pub fn push_reply(&mut self, payload: &[u8]) {
        self.replies.push(reply_value(payload));
    }

    /// The bytes that are stored.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers, text and checked JSON always encode")
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, when something else wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// A payload as a JSON value on one line.
///
/// JSON stays as it is, only that line breaks between its tokens become spaces; other text becomes
/// a JSON string; other bytes become `{"base64":"..."}`.
pub fn reply_value(payload: &[u8]) -> Box<RawValue> {
    if let Ok(json) = serde_json::from_slice::<&RawValue>(payload) {
        if !json.get().contains(['\n', '\r']) {
            return json.to_owned();
        }
        // Within a JSON string a line break is always escaped, so these stand between tokens.
        return raw(json.get().replace(['\n', '\r'], " "));
    }
    let text = std::str::from_utf8(payload);
    let value = text
        .map_or_else(|_| serde_json::json!({ "base64": base64(payload) }), serde_json::Value::from);
    raw(value.to_string())
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("made of checked JSON")
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_json_text_or_base64_and_always_one_line() {
        let value = |payload: &[u8]| reply_value(payload).get().to_owned();
        assert_eq!(value(b" {\"a\":\n 1.50}\r\n"), "{\"a\":  1.50}");
        assert_eq!(value(b"\"brake\""), "\"brake\"");
        assert_eq!(value(b"brake\n\"now\""), r#""brake\n\"now\"""#);
        assert_eq!(value(b"\xff\x00\x01\x02"), r#"{"base64":"/wABAg=="}"#);
        assert_eq!(value(b""), r#""""#);
    }

    #[test]
    fn base64_has_the_vectors_of_its_standard() {
        let vectors = [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_stored_answer_comes_back_and_old_ones_without_new_members_load() {
        let mut answer = StoredAnswer::applied(17);
        answer.push_reply(b"{\"n\":1e2}");
        let again = StoredAnswer::decode(&answer.encode()).unwrap();
        assert_eq!((again.epoch, again.replies[0].get()), (17, "{\"n\":1e2}"));
        let failed = StoredAnswer::rejected(3, 9, "it broke").encode();
        let failed = StoredAnswer::decode(&failed).unwrap();
        assert_eq!(failed.rejected, Some((9, "it broke".into())));
        assert!(!StoredAnswer::decode(b"{\"epoch\":1}").unwrap().merged);
        assert!(StoredAnswer::decode(b"nonsense").is_err());
    }
}
