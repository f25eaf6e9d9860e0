//! One kind of model that the configuration file can name.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    de::{DeserializeOwned, Deserializer, Visitor, value::Error as Captured},
    forward_to_deserialize_any,
};
use toml::{Table, Value};
use twinflow_connectors::message::model_name_error;
use twinflow_operators::{ModelSettings, model::MessageProcessor, models::Models};

use crate::config::{ConfigError, ConfiguredModel, Node, ReadModel, configure};

/// Keys of a model's table that are the engine's: they are taken out before the kind reads the
/// rest, so no kind may have a setting of such a name.
pub const RESERVED_KEYS: [&str; 8] = [
    "type",
    "grouping",
    "on_failure",
    "retries_max",
    "twins_max",
    "state_bytes_max",
    "dead_letters_bytes_max",
    "dead_letters_keep_secs",
];

type Build = fn(Models, &str, Value, ModelSettings) -> Result<Models, String>;

/// A kind of model: the value of `type` in the file, its settings, and how it is made from them.
#[derive(Clone)]
pub struct ModelKind {
    name: String,
    about: String,
    schema: Option<serde_json::Value>,
    build: Build,
    configure: ReadModel,
}

impl ModelKind {
    /// A kind whose settings are described by their JSON schema.
    ///
    /// # Errors
    ///
    /// The name is not 1 to 64 of `a-z A-Z 0-9 _ -`, or a setting has a reserved name.
    pub fn described<P>(name: &str, about: &str) -> Result<Self, String>
    where
        P: MessageProcessor + DeserializeOwned + JsonSchema,
    {
        let schema = serde_json::Value::from(schemars::schema_for!(P));
        let properties = schema.get("properties").and_then(serde_json::Value::as_object);
        let named = properties.into_iter().flat_map(|properties| properties.keys());
        check_keys(name, named.map(String::as_str))?;
        Ok(Self { schema: Some(schema), ..Self::new::<P>(name, about)? })
    }

    /// A kind without a schema: its settings are known only to its `Deserialize`.
    ///
    /// # Errors
    ///
    /// As [`Self::described`]; reserved names are found in types that derive `Deserialize`.
    pub fn new<P>(name: &str, about: &str) -> Result<Self, String>
    where
        P: MessageProcessor + DeserializeOwned,
    {
        if let Some(problem) = model_name_error(name) {
            return Err(format!("a kind of model cannot be named so: {problem}"));
        }
        check_keys(name, fields_of::<P>().iter().copied())?;
        let (name, about) = (name.to_owned(), about.to_owned());
        Ok(Self { name, about, schema: None, build: build::<P>, configure: configure::<P> })
    }

    /// The value of `type` in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in a line; empty when its author did not say.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// JSON schema of its settings, where it has one.
    pub fn settings_schema(&self) -> Option<&serde_json::Value> {
        self.schema.as_ref()
    }

    /// Reads a model of this kind from its table in the file, without the reserved keys; errors
    /// know the line.
    pub(crate) fn configure(
        &self,
        settings: &Node,
    ) -> Result<Box<dyn ConfiguredModel>, ConfigError> {
        (self.configure)(settings)
    }

    /// Adds a model of this kind under `name`. `settings` are the kind's own, without reserved
    /// keys; `general` are those that every model has.
    ///
    /// # Errors
    ///
    /// A setting is unknown or has a wrong value: the error names its full path in the file.
    pub fn add_to(
        &self,
        models: Models,
        name: &str,
        settings: Table,
        general: ModelSettings,
    ) -> Result<Models, String> {
        (self.build)(models, name, Value::Table(settings), general)
    }
}

impl fmt::Debug for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelKind").field("name", &self.name).finish_non_exhaustive()
    }
}

fn build<P: MessageProcessor + DeserializeOwned>(
    models: Models,
    name: &str,
    settings: Value,
    general: ModelSettings,
) -> Result<Models, String> {
    let processor: P = read(&format!("models.{name}"), settings)?;
    Ok(models.with_settings(name, processor, general))
}

/// Reads a value at a path of the file; the error begins with the path of what is wrong.
pub(super) fn read<T: DeserializeOwned>(at: &str, value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let below = if path == "." { String::new() } else { format!(".{path}") };
        format!("{at}{below}: {}", error.inner().message())
    })
}

fn check_keys<'k>(kind: &str, mut keys: impl Iterator<Item = &'k str>) -> Result<(), String> {
    match keys.find(|key| RESERVED_KEYS.contains(key)) {
        Some(key) => Err(format!(
            "the kind of model \"{kind}\" has a setting \"{key}\", a key that every model has; \
             rename the setting"
        )),
        None => Ok(()),
    }
}

/// The names that a derived `Deserialize` asks for; none when it asks for something else.
fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The probe has nothing to give: an error is the only answer.
    let _no_value = T::deserialize(FieldProbe(&mut fields)).is_err();
    fields
}

struct FieldProbe<'p>(&'p mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = Captured;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Captured> {
        Err(serde::de::Error::custom("only the names of fields are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Captured> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
