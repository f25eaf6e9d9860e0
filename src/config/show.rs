//! The effective settings as TOML, secrets as their references.

use serde_json::Value as Json;
use toml::Value as Toml;

use super::{
    ConnectorKind, Registries, connection,
    error::Place,
    model,
    node::{Node, Value},
    properties,
    section::{WrittenServer, WrittenState},
};
use crate::models::{ModelKind, RESERVED_KEYS};

pub(super) fn show(tree: &Node, kinds: &Registries) -> String {
    let mut shown = toml::Table::new();
    for (section, defaults) in [
        ("server", to_json(&WrittenServer::default())),
        ("state", to_json(&WrittenState::default())),
    ] {
        let written = tree.as_table().and_then(|root| root.get(section));
        let mut table = written.map_or_else(toml::Table::new, |node| table_of(node, &[]));
        fill(&mut table, &defaults);
        shown.insert(section.into(), Toml::Table(table));
    }
    let models = named(tree, "models", |node| {
        let mut table = table_of(node, &RESERVED_KEYS);
        fill(&mut table, &model::defaults());
        let kind = model::kind_of(node).and_then(|kind| kinds.models.get(&kind));
        fill_schema(&mut table, kind.and_then(ModelKind::settings_schema));
        table
    });
    shown.insert("models".into(), models);
    let connections = named(tree, "connections", |node| {
        let mut table = table_of(node, &connection::RESERVED);
        fill(&mut table, &to_json(&connection::WrittenConnection::default()));
        let kind = model::kind_of(node).and_then(|kind| kinds.connectors.get(&kind));
        fill_schema(&mut table, kind.map(ConnectorKind::schema));
        table
    });
    shown.insert("connections".into(), connections);
    shown.to_string()
}

fn to_json(defaults: &impl serde::Serialize) -> Json {
    serde_json::to_value(defaults).expect("settings always serialise")
}

fn named(tree: &Node, section: &str, show: impl Fn(&Node) -> toml::Table) -> Toml {
    let written = tree.as_table().and_then(|root| root.get(section)).and_then(Node::as_table);
    let tables = written.into_iter().flatten();
    Toml::Table(tables.map(|(name, node)| (name.clone(), Toml::Table(show(node)))).collect())
}

/// A table as it was written. Beside the `plain` keys, a value that came from the environment is
/// shown as a reference: a kind's own setting may be a secret.
fn table_of(node: &Node, plain: &[&str]) -> toml::Table {
    let entries = node.as_table().into_iter().flatten();
    let hide = |key: &String| !plain.is_empty() && !plain.contains(&key.as_str());
    entries.map(|(key, node)| (key.clone(), toml_of(node, hide(key)))).collect()
}

fn toml_of(node: &Node, hide: bool) -> Toml {
    if let Some(reference) = &node.reference {
        return Toml::String(reference.clone());
    }
    if let (true, Place::Environment(name)) = (hide, &node.place) {
        return Toml::String(format!("${{env:{name}}}"));
    }
    match &node.value {
        // What came from outside is a string in any case; as a number it is shown as one.
        Value::Text { text, loose: true } => {
            text.parse().map_or_else(|_| Toml::String(text.to_string()), Toml::Integer)
        }
        Value::Text { text, .. } => Toml::String(text.to_string()),
        Value::Integer(value) => Toml::Integer(*value),
        Value::Float(value) => Toml::Float(*value),
        Value::Bool(value) => Toml::Boolean(*value),
        Value::List(list) => Toml::Array(list.iter().map(|node| toml_of(node, hide)).collect()),
        Value::Table(table) => Toml::Table(
            table.iter().map(|(key, node)| (key.clone(), toml_of(node, hide))).collect(),
        ),
    }
}

fn fill(table: &mut toml::Table, defaults: &Json) {
    for (key, value) in defaults.as_object().into_iter().flatten() {
        fill_key(table, key, value);
    }
}

/// Sets what a kind's schema has a default for.
fn fill_schema(table: &mut toml::Table, schema: Option<&Json>) {
    for (key, about) in schema.into_iter().flat_map(properties) {
        fill_key(table, key, about.get("default").unwrap_or(&Json::Null));
    }
}

/// Sets a key that is not there; a default of `null` is none.
fn fill_key(table: &mut toml::Table, key: &str, value: &Json) {
    if table.contains_key(key) || value.is_null() {
        return;
    }
    if let Ok(value) = Toml::try_from(value) {
        table.insert(key.to_owned(), value);
    }
}
