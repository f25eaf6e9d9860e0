//! Kind `journal`: which messages reached a twin and in which order, so that delivery can be
//! verified on one's own installation.

use std::{collections::VecDeque, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::json_pointer;
use crate::prelude::*;

/// Everything that was applied to one twin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Messages applied so far, repeated ones too.
    pub count: u64,
    /// The fold over all their ids: any loss, repetition or other order shows in it.
    pub hash: JournalHash,
    /// The newest ids in the order in which they were applied, as many as `keep` says.
    pub ids: VecDeque<String>,
}

impl TwinModel for Journal {
    type Message<'m> = Value;
}

/// `hash * 31 + crc32(id)` modulo 2^64 for each id in order, from 0; shown as 16 hex digits.
///
/// The CRC is the common one (IEEE 802.3, as in zip and gzip) over the id's UTF-8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct JournalHash(pub u64);

impl JournalHash {
    /// The fold with one more id.
    #[must_use]
    pub fn with(self, id: &str) -> Self {
        let crc = u64::from(crc32fast::hash(id.as_bytes()));
        Self(self.0.wrapping_mul(31).wrapping_add(crc))
    }
}

impl fmt::Display for JournalHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<JournalHash> for String {
    fn from(hash: JournalHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for JournalHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hash = u64::from_str_radix(&text, 16);
        hash.map(Self).map_err(|_| format!("\"{text}\" is not 16 hex digits"))
    }
}

/// Writes each message's id into the journal; a message without one fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalWriter {
    /// Where a message has its id, a text or a whole number: JSON pointer (RFC 6901), default
    /// `/id`. Since 0.1.0.
    #[serde(deserialize_with = "json_pointer")]
    pub id: String,
    /// How many of the newest ids the state holds. Default 1000. Since 0.1.0.
    pub keep: usize,
}

impl Default for JournalWriter {
    fn default() -> Self {
        Self { id: "/id".to_owned(), keep: 1000 }
    }
}

impl JournalWriter {
    fn id_of(&self, message: &Value) -> Result<String, ProcessingError> {
        let place = &self.id;
        match message.pointer(place) {
            Some(Value::String(id)) => Ok(id.clone()),
            Some(Value::Number(id)) if !id.is_f64() => Ok(id.to_string()),
            Some(_) => Err(ProcessingError::message(format!(
                "the id at \"{place}\" is neither a text nor a whole number"
            ))),
            None => Err(ProcessingError::message(format!("the message has no id at \"{place}\""))),
        }
    }
}

impl MessageProcessor for JournalWriter {
    type Model = Journal;
    /// A thousand ids are not worth a copy for every call.
    const ROLLBACK: Rollback = Rollback::LastEncoded;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        journal: &mut Journal,
        messages: Messages<'_, Value>,
    ) -> ProcessingResult {
        for message in messages {
            let id = self.id_of(message)?;
            journal.count += 1;
            journal.hash = journal.hash.with(&id);
            journal.ids.push_back(id);
            let surplus = journal.ids.len().saturating_sub(self.keep);
            journal.ids.drain(..surplus);
        }
        Ok(Outcome::Update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(keep: usize) -> TestTwin<JournalWriter> {
        TestTwin::new(JournalWriter { keep, ..JournalWriter::default() })
    }

    fn fold(ids: &[&str]) -> JournalHash {
        ids.iter().fold(JournalHash::default(), |hash, id| hash.with(id))
    }

    #[test]
    fn the_hash_is_what_a_user_computes_with_common_tools() {
        // 0xcbf43926 is the published check value of this CRC.
        assert_eq!(fold(&["123456789"]).to_string(), "00000000cbf43926");
        let by_hand = 0xcbf4_3926_u64 * 31 + 0xe8b7_be43;
        assert_eq!(fold(&["123456789", "a"]), JournalHash(by_hand));
        assert_eq!(fold(&[]).to_string(), "0000000000000000");
        assert_ne!(fold(&["a", "b"]), fold(&["b", "a"]), "the order shows");
    }

    #[test]
    fn the_hash_goes_on_beyond_64_bits() {
        assert_eq!(JournalHash(u64::MAX).with(""), JournalHash(u64::MAX.wrapping_mul(31)));
    }

    #[test]
    fn ids_are_kept_in_the_order_of_application() {
        let mut journal = journal(1000);
        journal.call(&[r#"{"id":"b"}"#, r#"{"id":"a"}"#]);
        journal.call(&[r#"{"id":"c","more":1}"#]);
        assert_eq!(journal.state.ids, ["b", "a", "c"]);
        assert_eq!((journal.state.count, journal.state.hash), (3, fold(&["b", "a", "c"])));
    }

    #[test]
    fn only_the_newest_ids_are_kept_and_all_are_counted() {
        let ids: Vec<_> = (0..5).map(|number| format!(r#"{{"id":"{number}"}}"#)).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        for (keep, kept) in
            [(0, &[][..]), (4, &["1", "2", "3", "4"]), (5, &["0", "1", "2", "3", "4"])]
        {
            let mut journal = journal(keep);
            journal.call(&ids);
            assert_eq!(journal.state.ids, kept, "keep {keep}");
            assert_eq!(journal.state.count, 5);
            assert_eq!(journal.state.hash, fold(&["0", "1", "2", "3", "4"]));
        }
    }

    #[test]
    fn a_repeated_message_is_written_again() {
        let mut journal = journal(10);
        journal.call(&[r#"{"id":"a"}"#, r#"{"id":"a"}"#]);
        assert_eq!(
            (journal.state.count, &journal.state.ids),
            (2, &["a", "a"].map(String::from).into())
        );
    }

    #[test]
    fn case_8_a_message_without_id_is_the_only_one_that_fails() {
        let mut journal = journal(10);
        journal.call(&[r#"{"id":"before"}"#]);
        let call = journal.call(&[r#"{"id":"a"}"#, r#"{"no":1}"#, r#"{"id":"b"}"#, r#"{"id":[]}"#]);
        assert_eq!(
            call.failures,
            [
                "the message has no id at \"/id\"",
                "the id at \"/id\" is neither a text nor a whole number"
            ]
        );
        assert_eq!(journal.state.ids, ["before", "a", "b"]);
        assert_eq!((journal.state.count, journal.state.hash), (3, fold(&["before", "a", "b"])));
    }

    #[test]
    fn a_failed_message_alone_leaves_an_old_journal_as_it_was() {
        let mut journal = journal(10);
        journal.call(&[r#"{"id":"a"}"#]);
        let before = journal.state.clone();
        assert_eq!(journal.call(&["{}"]).failures.len(), 1);
        assert!(journal.exists());
        assert_eq!(journal.state, before);
    }

    #[test]
    fn a_message_that_is_no_json_is_set_aside() {
        let mut journal = journal(10);
        let call = journal.call(&[r#"{"id":"a"}"#, "{", r#"{"id":"b"}"#]);
        assert_eq!((call.undecodable, call.calls), (1, 1));
        assert_eq!(journal.state.ids, ["a", "b"]);
    }

    #[test]
    fn whole_numbers_are_ids_and_fractions_are_not() {
        let mut journal = journal(10);
        let call =
            journal.call(&[r#"{"id":7}"#, r#"{"id":-8}"#, r#"{"id":1.5}"#, r#"{"id":null}"#]);
        assert_eq!(call.failures.len(), 2);
        assert_eq!(journal.state.ids, ["7", "-8"]);
    }

    #[test]
    fn the_pointer_finds_ids_at_any_depth_and_the_empty_one_takes_the_message_itself() {
        let id = "/meta/ids/1".to_owned();
        let mut journal = TestTwin::new(JournalWriter { id, keep: 10 });
        journal.call(&[r#"{"meta":{"ids":["x","y"]}}"#]);
        assert_eq!(journal.state.ids, ["y"]);
        let mut journal = TestTwin::new(JournalWriter { id: String::new(), keep: 10 });
        journal.call(&[r#""a""#, "17"]);
        assert_eq!(journal.state.ids, ["a", "17"]);
    }

    #[test]
    fn case_13_the_stored_form_comes_back_and_a_state_with_a_later_field_loads() {
        let state = Journal {
            count: 2,
            hash: JournalHash(0xfedc_ba98_7654_3210),
            ids: ["a".into()].into(),
        };
        crate::models::testing::assert_stored_form_comes_back(&state);
        let json = serde_json::json!({"count":2,"hash":"fedcba9876543210","ids":["a"]});
        assert_eq!(serde_json::to_value(&state).unwrap(), json);
    }
}
