//! How a kind of model reads its settings from the file.

use std::fmt;

use serde::de::DeserializeOwned;
use twinflow_operators::{ModelSettings, model::MessageProcessor, models::Models};

use super::kind_of;
use crate::{
    config::{de, error::ConfigError, node::Node},
    models::{ModelKind, ModelKinds},
};

/// Reads a processor from a table without the reserved keys.
pub(crate) type ReadModel = fn(&Node) -> Result<Box<dyn ConfiguredModel>, ConfigError>;

/// The [`ReadModel`] of a processor.
pub(crate) fn configure<P: MessageProcessor + DeserializeOwned>(
    settings: &Node,
) -> Result<Box<dyn ConfiguredModel>, ConfigError> {
    Ok(Box::new(Configured(de::read::<P>(settings)?)))
}

/// The kind that a table's `type` names.
pub(crate) fn of_table<'k>(
    kinds: &'k ModelKinds,
    node: &Node,
) -> Result<&'k ModelKind, ConfigError> {
    let known: Vec<_> = kinds.iter().map(ModelKind::name).collect();
    let name = kind_of("model kind", node, &known)?;
    Ok(kinds.get(&name).expect("a known name"))
}

/// A processor whose settings were read.
pub trait ConfiguredModel: Send + fmt::Debug {
    /// Registers it under the name that its twins are known by.
    fn add_to(self: Box<Self>, models: Models, name: &str, settings: ModelSettings) -> Models;
}

struct Configured<P>(P);

impl<P> fmt::Debug for Configured<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<P>())
    }
}

impl<P: MessageProcessor> ConfiguredModel for Configured<P> {
    fn add_to(self: Box<Self>, models: Models, name: &str, settings: ModelSettings) -> Models {
        models.with_settings(name, self.0, settings)
    }
}
