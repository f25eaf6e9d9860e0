//! The kinds that a file can name with `type`: the lists of models and of connectors.

use super::{error::ConfigError, near::suggest, node::Node};

mod connectors;
mod models;

pub(crate) use connectors::properties;
pub use connectors::{ConfiguredConnector, ConnectorKind, ConnectorKinds};
pub use models::ConfiguredModel;
pub(crate) use models::{ReadModel, configure, of_table as model_kind};

/// The name of the kind that a table's `type` chooses; one of `known`.
fn kind_of(what: &str, node: &Node, known: &[&str]) -> Result<String, ConfigError> {
    let suggestion = |name: &str| suggest(name, known, &format!("{what}s"));
    let Some(kind) = node.as_table().and_then(|table| table.get("type")) else {
        let sentence = format!("the key \"type\" is missing{}", suggestion(""));
        return Err(ConfigError::new(sentence).at(&node.place));
    };
    let wrong = |error: ConfigError| error.below("type").at(&kind.place);
    let name: String = super::de::read(kind).map_err(wrong)?;
    if known.contains(&name.as_str()) {
        return Ok(name);
    }
    let known = suggestion(&name);
    Err(wrong(ConfigError::new(format!("there is no {what} \"{name}\"{known}"))))
}
