//! Settings that every model has, whatever its kind.

use serde::{Deserialize, Serialize};

use crate::model::Grouping;

/// The reserved keys of a model's table in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSettings {
    /// How many messages a call gets; without it the processor's own `GROUPING`.
    pub grouping: Option<Grouping>,
    /// What becomes of a message whose call failed (law P5).
    pub on_failure: OnFailure,
    /// How often a call that asks for it is tried again, at once. Default 0.
    pub retries_max: u32,
    /// Twins of this model; above it messages for new ones become dead letters. Default 10 million.
    pub twins_max: u64,
    /// Bytes of one encoded state; above it the call fails. Default 1 MiB.
    pub state_bytes_max: u64,
    /// Bytes of its dead letters; beyond it nothing more is taken in for it until some are gone
    /// (law D12). Default 1 GiB.
    pub dead_letters_bytes_max: u64,
    /// Seconds after which a dead letter goes by itself. Default 7 days.
    pub dead_letters_keep_secs: u64,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            grouping: None,
            on_failure: OnFailure::DeadLetter,
            retries_max: 0,
            twins_max: 10_000_000,
            state_bytes_max: 1 << 20,
            dead_letters_bytes_max: 1 << 30,
            dead_letters_keep_secs: 7 * 86_400,
        }
    }
}

/// What becomes of a message whose call failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is kept with its reason.
    #[default]
    DeadLetter,
    /// It is counted and forgotten.
    Skip,
    /// The engine ends with exit code 65.
    Halt,
}
