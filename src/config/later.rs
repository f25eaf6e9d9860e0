//! Keys that have their place in the file and are refused until what they set exists.

use super::{error::ConfigError, node::Table};

/// Keys of one meaning in all connectors, for a connector that lacks one.
pub(super) const CONNECTION: &[(&str, &str)] = &[
    ("connections", "this connector runs every connection once; remove the key"),
    ("decoder", "this connector cannot choose a decoder yet; remove the key"),
    ("dedupe", "this connector sets no dedupe by key yet; remove the key"),
    ("feedback", "this connector cannot choose a feedback channel yet; remove the key"),
    ("feedback_expiry_secs", "this connector cannot set it yet; remove the key"),
    ("model", "this connector has no model for a whole connection yet; remove the key"),
    ("tls", "this connector speaks no TLS yet; remove the key"),
    ("twin_id", "this connector has no rule for twin ids by key yet; remove the key"),
];

/// Connectors that a build may be without.
pub(super) const OPTIONAL: &[&str] = &["kafka", "mqtt"];

/// Connectors that are known by name and not built yet.
pub(super) const CONNECTORS: &[&str] = &["aws-iot", "azure-iot-hub", "event-hubs"];

/// An error for the first key that comes later.
pub(super) fn refuse(table: &Table, later: &[(&str, &str)]) -> Result<(), ConfigError> {
    let found = later.iter().find_map(|(key, why)| Some((key, why, table.get(*key)?)));
    match found {
        Some((key, why, node)) => Err(ConfigError::new(*why).below(*key).at(&node.place)),
        None => Ok(()),
    }
}
