//! `[models.NAME]`: the reserved keys, and the kind that reads the rest.

use serde_json::Value as Json;
use twinflow_connectors::message::model_name_error;
use twinflow_operators::{ModelSettings, OnFailure, model::Grouping};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    de,
    error::ConfigError,
    kinds::{ConfiguredModel, model_kind},
    node::{Node, Table, Value},
    secrets,
    section::KeyProblem,
};
use crate::models::{ModelKinds, RESERVED_KEYS};

/// What the user writes under `[models.NAME]`, whatever its kind.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenModel {
    /// How many messages a call gets: `epoch` is everything that waited, `single` is one.
    /// Default: as the model says. Since 0.1.0.
    #[schemars(with = "Option<String>")]
    pub(crate) grouping: Option<Grouping>,
    /// What becomes of a message whose call failed: `dead_letter`, `skip` or `halt`.
    /// Default `dead_letter`. Since 0.1.0.
    #[schemars(with = "Option<String>")]
    pub(crate) on_failure: Option<OnFailure>,
    /// How often a call that asks for it is tried again, at once. Default 0. Since 0.1.0.
    pub(crate) retries_max: Option<u32>,
    /// Twins of this model; above it messages for new ones become dead letters.
    /// Default 10000000. Since 0.1.0.
    pub(crate) twins_max: Option<u64>,
    /// Bytes of one encoded state; above it the call fails. Default 1048576. Since 0.1.0.
    pub(crate) state_bytes_max: Option<u64>,
    /// Bytes of its dead letters, with their reasons; beyond it nothing is taken in for the model
    /// until a tenth of it is free again. Default 1073741824. Since 0.1.0.
    pub(crate) dead_letters_bytes_max: Option<u64>,
    /// Seconds that a dead letter is kept; then it is dropped. Default 604800. Since 0.1.0.
    pub(crate) dead_letters_keep_secs: Option<u64>,
}

impl TryFrom<WrittenModel> for ModelSettings {
    type Error = KeyProblem;

    fn try_from(written: WrittenModel) -> Result<Self, KeyProblem> {
        let default = Self::default();
        let settings = Self {
            grouping: written.grouping,
            on_failure: written.on_failure.unwrap_or(default.on_failure),
            retries_max: written.retries_max.unwrap_or(default.retries_max),
            twins_max: written.twins_max.unwrap_or(default.twins_max),
            state_bytes_max: written.state_bytes_max.unwrap_or(default.state_bytes_max),
            dead_letters_bytes_max: written
                .dead_letters_bytes_max
                .unwrap_or(default.dead_letters_bytes_max),
            dead_letters_keep_secs: written
                .dead_letters_keep_secs
                .unwrap_or(default.dead_letters_keep_secs),
        };
        let limits = [
            ("twins_max", settings.twins_max),
            ("state_bytes_max", settings.state_bytes_max),
            ("dead_letters_bytes_max", settings.dead_letters_bytes_max),
            ("dead_letters_keep_secs", settings.dead_letters_keep_secs),
        ];
        match limits.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(KeyProblem::new(key, "found 0, the least is 1")),
            None => Ok(settings),
        }
    }
}

/// One model of the file, checked.
#[derive(Debug)]
pub struct ModelConfig {
    /// The name that its twins are known by.
    pub name: String,
    /// The kind that the program was built with.
    pub kind: String,
    /// Settings that every model has.
    pub settings: ModelSettings,
    /// The processor.
    pub processor: Box<dyn ConfiguredModel>,
}

pub(crate) fn read(
    name: &str,
    node: &Node,
    kinds: &ModelKinds,
) -> Result<ModelConfig, ConfigError> {
    if let Some(problem) = model_name_error(name) {
        return Err(ConfigError::new(problem).at(&node.place));
    }
    let kind = model_kind(kinds, node)?;
    let (reserved, mut own) = split(node, &RESERVED_KEYS);
    let settings = super::checked::<WrittenModel, ModelSettings>(&reserved)?;
    if let Some(schema) = kind.settings_schema() {
        secrets::refuse_written(&mut own, schema)?;
    }
    let processor = kind.configure(&own)?;
    Ok(ModelConfig { name: name.to_owned(), kind: kind.name().to_owned(), settings, processor })
}

/// Takes the reserved keys out of a table; `type` is in neither part.
pub(crate) fn split(node: &Node, reserved: &[&str]) -> (Node, Node) {
    let table = node.as_table().cloned().unwrap_or_default();
    let (mut first, own): (Table, Table) =
        table.into_iter().partition(|(key, _)| reserved.contains(&key.as_str()));
    first.remove("type");
    let part = |table| Node::new(Value::Table(table), node.place.clone());
    (part(first), part(own))
}

/// What a model has where the file says nothing, for showing.
pub(crate) fn defaults() -> Json {
    let settings = ModelSettings::default();
    serde_json::to_value(settings).expect("numbers and words always serialise")
}

/// Reads `type` for messages and lists; checked before.
pub(crate) fn kind_of(node: &Node) -> Option<String> {
    de::read(node.as_table()?.get("type")?).ok()
}
