//! Kinds of models: a processor that reads its settings from the file.

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;
use twinflow_operators::{ModelSettings, model::MessageProcessor, models::Models};

use super::Kinds;
use crate::config::{de, error::ConfigError, keys::keys_of, model::RESERVED, node::Node};

/// What stands in errors before the name of a kind.
const WHAT: &str = "model kind";

/// A kind of model that a file can name.
#[derive(Debug)]
pub struct ModelKind {
    name: String,
    keys: &'static [&'static str],
    read: Box<dyn ReadModel>,
}

impl ModelKind {
    /// The value of `type`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The keys of its own settings.
    pub fn keys(&self) -> &'static [&'static str] {
        self.keys
    }

    pub(crate) fn read(&self, settings: &Node) -> Result<Box<dyn ConfiguredModel>, ConfigError> {
        self.read.read(settings)
    }
}

/// Kinds of models by name.
#[derive(Debug, Default)]
pub struct ModelKinds(Kinds<ModelKind>);

impl ModelKinds {
    /// No kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind: the value of `type` in the file, and a processor that is read from the rest of
    /// the table. A repeated name is an error of every file.
    #[must_use]
    pub fn with<P: MessageProcessor + DeserializeOwned>(mut self, name: &str) -> Self {
        let keys = keys_of::<P>();
        let read = Box::new(Typed::<P>(PhantomData));
        let kind = ModelKind { name: name.to_owned(), keys, read };
        self.0.add(WHAT, name, keys, &RESERVED, kind);
        self
    }

    /// All kinds in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &ModelKind> {
        self.0.known.values()
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.0.problems
    }

    pub(crate) fn of_table(&self, node: &Node) -> Result<&ModelKind, ConfigError> {
        self.0.of_table(WHAT, node)
    }
}

/// A processor whose settings were read.
pub trait ConfiguredModel: Send + fmt::Debug {
    /// Registers it under the name that its twins are known by.
    fn add_to(self: Box<Self>, models: Models, name: &str, settings: ModelSettings) -> Models;
}

trait ReadModel: Send + Sync + fmt::Debug {
    fn read(&self, settings: &Node) -> Result<Box<dyn ConfiguredModel>, ConfigError>;
}

struct Typed<P>(PhantomData<fn() -> P>);

impl<P> fmt::Debug for Typed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<P>())
    }
}

impl<P: MessageProcessor + DeserializeOwned> ReadModel for Typed<P> {
    fn read(&self, settings: &Node) -> Result<Box<dyn ConfiguredModel>, ConfigError> {
        Ok(Box::new(Configured(de::read::<P>(settings)?)))
    }
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
