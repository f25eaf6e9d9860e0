//! The lines of an export (docs/reference/export.md).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use twinflow_operators::{dead_letter::DeadLetter, quarantine::Quarantined};

/// The version of this format. A newer one is refused.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// The first.
    TwinflowState(Head),
    Twin(Twin),
    MessageId(MessageId),
    Position(StoredPosition),
    Feedback(Feedback),
    DeadLetter(Letter),
    Quarantined(Quarantined),
    /// The last.
    End(End),
}

/// What an export is of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) format: u32,
    /// Last generation and epoch; an import goes on behind them, so that no id of feedback is given
    /// a second time.
    pub(super) generation: u64,
    pub(super) epoch: u64,
    /// The latest time of any epoch, microseconds since 1970.
    pub(super) time_us: u64,
    /// The largest number of a dead letter, of those that went, too.
    pub(super) dead_letters_newest: u64,
    /// The model that this is all of, if it is not of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// Names by the numbers that stored keys have.
    pub(super) models: BTreeMap<u16, String>,
    pub(super) connections: BTreeMap<u16, String>,
}

/// A twin. Its state is `state`, or `stored` where JSON cannot say it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Twin {
    pub(super) model: String,
    pub(super) id: String,
    /// Schema version of the state.
    pub(super) version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<Bytes>,
    /// Its data source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<String>,
    /// What the topic template of its data source captured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<(String, String)>,
}

/// The id of a handled message, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageId {
    pub(super) model: String,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// Where a source goes on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPosition {
    pub(super) connection: String,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) next: u64,
}

/// Unconfirmed feedback, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feedback {
    pub(super) connection: String,
    pub(super) value: Bytes,
}

/// A dead letter with its payload.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Letter {
    pub(super) letter: DeadLetter,
    pub(super) payload: Bytes,
}

/// What makes an export whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Lines before this one.
    pub(super) lines: u64,
    /// Twins among them.
    pub(super) twins: u64,
    /// CRC-32 of all bytes before this line, 8 hex digits.
    pub(super) crc32: String,
}

/// Bytes, in JSON as base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}
