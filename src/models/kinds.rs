//! The list of kinds, open to everybody's own.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::{Table, Value};
use twinflow_operators::{ModelSettings, model::MessageProcessor, models::Models};

use super::{
    gas_sensor::GasWatch,
    journal::JournalWriter,
    kind::{ModelKind, RESERVED_KEYS, read},
    shadow::ShadowMerge,
    wind_turbine::BearingWatch,
};

/// The kinds that a program knows, in the order in which they were added.
///
/// ```
/// # use twinflow::{models::ModelKinds, operators::models::Models};
/// let kinds = ModelKinds::stock();
/// let table = toml::toml! { type = "wind-turbine" limit_celsius = 90 };
/// let models = kinds.add(Models::new(), "turbines", table)?;
/// assert_eq!(models.names().collect::<Vec<_>>(), ["turbines"]);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ModelKinds {
    kinds: Vec<ModelKind>,
    problem: Option<String>,
}

impl ModelKinds {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The kinds of the stock program.
    pub fn stock() -> Self {
        Self::new()
            .with_described::<ShadowMerge>("shadow", "keeps the newest value of each property")
            .with_described::<JournalWriter>("journal", "keeps ids of messages to verify delivery")
            .with_described::<BearingWatch>("wind-turbine", "brakes a turbine that runs hot")
            .with_described::<GasWatch>("gas-sensor", "raises an alarm when gas stays too long")
    }

    /// One more kind, whose settings are the fields of its processor. What is wrong with it is
    /// told by [`Self::problem`] and by every [`Self::add`].
    #[must_use]
    pub fn with<P: MessageProcessor + DeserializeOwned>(self, kind: &str) -> Self {
        self.with_kind(ModelKind::new::<P>(kind, ""))
    }

    /// The same with a line about it and a schema of its settings, for help texts and forms.
    #[must_use]
    pub fn with_described<P>(self, kind: &str, about: &str) -> Self
    where
        P: MessageProcessor + DeserializeOwned + JsonSchema,
    {
        self.with_kind(ModelKind::described::<P>(kind, about))
    }

    fn with_kind(mut self, kind: Result<ModelKind, String>) -> Self {
        match kind {
            Ok(kind) if self.get(kind.name()).is_some() => {
                let problem = format!("the kind of model \"{}\" is registered twice", kind.name());
                self.problem.get_or_insert(problem);
            }
            Ok(kind) => self.kinds.push(kind),
            Err(problem) => {
                self.problem.get_or_insert(problem);
            }
        }
        self
    }

    /// What is wrong with the first kind that was refused, if one was.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The kind of this name.
    pub fn get(&self, kind: &str) -> Option<&ModelKind> {
        self.kinds.iter().find(|known| known.name() == kind)
    }

    /// All kinds.
    pub fn iter(&self) -> impl Iterator<Item = &ModelKind> {
        self.kinds.iter()
    }

    /// Adds a model as the table `[models.<name>]` of the file describes it: `type` chooses the
    /// kind, the reserved keys are the engine's, the rest are the kind's settings.
    ///
    /// # Errors
    ///
    /// A kind was refused, the type is missing or unknown, or a setting is unknown or has a wrong
    /// value: the error names its full path in the file.
    pub fn add(&self, models: Models, name: &str, mut table: Table) -> Result<Models, String> {
        if let Some(problem) = self.problem() {
            return Err(problem.to_owned());
        }
        let kind = match table.remove("type") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(format!("models.{name}.type: the type is a text")),
            None => return Err(format!("models.{name}: the type is missing; {}", self.known())),
        };
        let kind = self.get(&kind).ok_or_else(|| {
            format!("models.{name}.type: there is no kind of model \"{kind}\"; {}", self.known())
        })?;
        let general = RESERVED_KEYS.iter().filter_map(|key| table.remove_entry(*key)).collect();
        let general: ModelSettings = read(&format!("models.{name}"), Value::Table(general))?;
        kind.add_to(models, name, table, general)
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.iter().map(|kind| format!("\"{}\"", kind.name())).collect();
        format!("this program has {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests;
