//! `[connections.NAME]`: the reserved keys, and the connector that reads the rest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinflow_connectors::message::model_name_error;

use super::{
    error::ConfigError,
    kinds::{ConfiguredConnector, ConnectorKinds, properties},
    later,
    model::split,
    node::Node,
    secrets,
    section::KeyProblem,
};
use crate::connections::ConnectionSettings;

/// Keys that every connection has; no connector's own settings may use one.
pub(crate) const RESERVED: [&str; 5] =
    ["type", "enabled", "drain_timeout_ms", "reconnect_backoff_ms", "reconnect_backoff_max_ms"];

/// What the user writes under `[connections.NAME]`, whatever its type.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenConnection {
    /// Whether it is started. Default true. Since 0.1.0.
    pub(crate) enabled: bool,
    /// Milliseconds that a stop waits until its data sources have what was sent to them.
    /// Default 10000, or less where the connector says so. Since 0.1.0.
    pub(crate) drain_timeout_ms: Option<u64>,
    /// Milliseconds before it is tried again the first time. Default 250. Since 0.1.0.
    pub(crate) reconnect_backoff_ms: u64,
    /// Milliseconds before any later try, at most. Default 60000. Since 0.1.0.
    pub(crate) reconnect_backoff_max_ms: u64,
}

impl Default for WrittenConnection {
    fn default() -> Self {
        Self {
            enabled: true,
            drain_timeout_ms: None,
            reconnect_backoff_ms: 250,
            reconnect_backoff_max_ms: 60_000,
        }
    }
}

/// The reserved keys, checked.
#[derive(Clone, Debug)]
pub struct ConnectionOptions(WrittenConnection);

impl ConnectionOptions {
    /// Whether it is started.
    pub fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// What the engine needs of them; the connector's own word counts where the file has none.
    pub fn for_engine(&self, connector: &dyn ConfiguredConnector) -> ConnectionSettings {
        let written = &self.0;
        let default = ConnectionSettings::default();
        let drain = written.drain_timeout_ms.or(connector.info().drain_timeout_ms);
        ConnectionSettings {
            enabled: written.enabled,
            drain_timeout_ms: drain.unwrap_or(default.drain_timeout_ms),
            reconnect_backoff_ms: written.reconnect_backoff_ms,
            reconnect_backoff_max_ms: written.reconnect_backoff_max_ms,
        }
    }
}

impl TryFrom<WrittenConnection> for ConnectionOptions {
    type Error = KeyProblem;

    fn try_from(written: WrittenConnection) -> Result<Self, KeyProblem> {
        let (first, most) = (written.reconnect_backoff_ms, written.reconnect_backoff_max_ms);
        if first == 0 {
            return Err(KeyProblem::new("reconnect_backoff_ms", "found 0, the least is 1"));
        }
        if first > most {
            let sentence = format!("found {most}, below reconnect_backoff_ms ({first})");
            return Err(KeyProblem::new("reconnect_backoff_max_ms", sentence));
        }
        Ok(Self(written))
    }
}

/// One connection of the file, checked.
#[derive(Debug)]
pub struct ConnectionConfig {
    /// Its name.
    pub name: String,
    /// The connector, as `type` names it.
    pub kind: &'static str,
    /// Settings that every connection has.
    pub options: ConnectionOptions,
    /// The connector.
    pub connector: Box<dyn ConfiguredConnector>,
}

pub(crate) fn read(
    name: &str,
    node: &Node,
    kinds: &ConnectorKinds,
) -> Result<ConnectionConfig, ConfigError> {
    if let Some(problem) = model_name_error(name) {
        let problem = problem.replacen("the model name", "the connection name", 1);
        return Err(ConfigError::new(problem).at(&node.place));
    }
    let kind = kinds.of_table(node)?;
    let (reserved, mut own) = split(node, &RESERVED);
    // Keys of one meaning in all connectors, where a connector has them.
    let mut lacking = own.as_table().cloned().unwrap_or_default();
    lacking.retain(|key, _| !properties(kind.schema()).any(|(known, _)| known == key));
    later::refuse(&lacking, later::CONNECTION)?;
    let options = super::checked::<WrittenConnection, ConnectionOptions>(&reserved)?;
    secrets::refuse_written(&mut own, kind.schema())?;
    let connector = kind.read(&own)?;
    Ok(ConnectionConfig { name: name.to_owned(), kind: kind.name(), options, connector })
}
