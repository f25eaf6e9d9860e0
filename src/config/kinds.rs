//! The kinds that a file can name with `type`: open lists of models and of connectors.

use std::collections::BTreeMap;

use super::{error::ConfigError, near::suggest, node::Node};

mod connectors;
mod models;

pub(crate) use connectors::properties;
pub use connectors::{ConfiguredConnector, ConnectorKind, ConnectorKinds};
pub use models::{ConfiguredModel, ModelKind, ModelKinds};

/// Kinds by name, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Kinds<K> {
    known: BTreeMap<String, K>,
    problems: Vec<String>,
}

impl<K> Default for Kinds<K> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), problems: Vec::new() }
    }
}

impl<K> Kinds<K> {
    /// Adds one; a repeated name, and settings that use a reserved key, are problems.
    fn add(&mut self, what: &str, name: &str, keys: &[&str], reserved: &[&str], kind: K) {
        if let Some(key) = keys.iter().find(|key| reserved.contains(key)) {
            let problem = format!(
                "the {what} \"{name}\" has a setting called \"{key}\", which every {what} has"
            );
            self.problems.push(problem);
        }
        if self.known.insert(name.to_owned(), kind).is_some() {
            self.problems.push(format!("the {what} \"{name}\" is registered twice"));
        }
    }

    /// The kind that a table's `type` names.
    fn of_table(&self, what: &str, node: &Node) -> Result<&K, ConfigError> {
        let table = node.as_table();
        let Some(kind) = table.and_then(|table| table.get("type")) else {
            let sentence = format!("the key \"type\" is missing{}", self.suggestion("", what));
            return Err(ConfigError::new(sentence).at(&node.place));
        };
        let wrong = |error: ConfigError| error.below("type").at(&kind.place);
        let name: String = super::de::read(kind).map_err(wrong)?;
        self.known.get(&name).ok_or_else(|| {
            let known = self.suggestion(&name, what);
            wrong(ConfigError::new(format!("there is no {what} \"{name}\"{known}")))
        })
    }

    fn suggestion(&self, name: &str, what: &str) -> String {
        let known: Vec<_> = self.known.keys().map(String::as_str).collect();
        suggest(name, &known, &format!("{what}s"))
    }
}
