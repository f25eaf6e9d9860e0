//! Kinds of connectors: what the file may name under `[connections.NAME]`.

use std::{any::Any, collections::BTreeMap, fmt, marker::PhantomData};

use serde_json::Value as Json;
use twinflow_connectors::{ConfigurableConnector, ConnectorInfo, Guarantee};

use super::kind_of;
use crate::config::{connection::RESERVED, de, error::ConfigError, later, node::Node};
use crate::connections::{Connection, ConnectionSettings};

/// A connector that a file can name.
#[derive(Debug)]
pub struct ConnectorKind {
    name: &'static str,
    about: &'static str,
    guarantee: Guarantee,
    schema: Json,
    read: Box<dyn ReadConnector>,
}

impl ConnectorKind {
    /// The value of `type`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One line for a person who chooses.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// What it promises for a message that it acknowledged.
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// JSON schema of its own settings.
    pub fn schema(&self) -> &Json {
        &self.schema
    }

    pub(crate) fn read(
        &self,
        settings: &Node,
    ) -> Result<Box<dyn ConfiguredConnector>, ConfigError> {
        self.read.read(settings)
    }
}

/// Connectors by name.
#[derive(Debug, Default)]
pub struct ConnectorKinds {
    known: BTreeMap<&'static str, ConnectorKind>,
    problems: Vec<String>,
}

impl ConnectorKinds {
    /// No connectors.
    pub fn new() -> Self {
        Self::default()
    }

    /// The connectors of this build.
    pub fn stock() -> Self {
        twinflow_connectors::registry(Self::new())
    }

    /// Adds a connector under its `TYPE`. A repeated one is an error of every file.
    #[must_use]
    pub fn with<C: ConfigurableConnector>(mut self) -> Self {
        let schema = schemars::SchemaGenerator::default().into_root_schema_for::<C::Settings>();
        let schema = Json::from(schema);
        let name = C::TYPE;
        if let Some((key, _)) = properties(&schema).find(|(key, _)| RESERVED.contains(key)) {
            let problem = format!(
                "the connector \"{name}\" has a setting \"{key}\", a key that every connection \
                 has; rename the setting"
            );
            self.problems.push(problem);
        }
        let kind = ConnectorKind {
            name,
            about: C::ABOUT,
            guarantee: C::GUARANTEE,
            schema,
            read: Box::new(Typed::<C>(PhantomData)),
        };
        if self.known.insert(name, kind).is_some() {
            self.problems.push(format!("the connector \"{name}\" is registered twice"));
        }
        self
    }

    /// All kinds in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &ConnectorKind> {
        self.known.values()
    }

    /// The kind with this name.
    pub fn get(&self, name: &str) -> Option<&ConnectorKind> {
        self.known.get(name)
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(crate) fn of_table(&self, node: &Node) -> Result<&ConnectorKind, ConfigError> {
        let known: Vec<_> = self.iter().map(ConnectorKind::name).collect();
        match kind_of("connector", node, &known) {
            Ok(name) => Ok(self.get(&name).expect("a known name")),
            Err(error) => Err(self.planned(node).unwrap_or(error)),
        }
    }

    /// The error for a connector that this build lacks, or that is planned.
    fn planned(&self, node: &Node) -> Option<ConfigError> {
        let kind = node.as_table()?.get("type")?;
        let name: String = de::read(kind).ok()?;
        if later::OPTIONAL.contains(&name.as_str()) {
            let sentence = format!("this build has no {name}; build with --features full");
            return Some(ConfigError::new(sentence).below("type").at(&kind.place));
        }
        later::CONNECTORS.contains(&name.as_str()).then(|| {
            let known: Vec<_> = self.iter().map(ConnectorKind::name).collect();
            let known = known.join(", ");
            let sentence = format!("this version has no {name} connector yet; it has {known}");
            ConfigError::new(sentence).below("type").at(&kind.place)
        })
    }
}

impl twinflow_connectors::Registry for ConnectorKinds {
    fn with<C: ConfigurableConnector>(self) -> Self {
        self.with::<C>()
    }
}

/// Keys of a settings schema with what is said of each, in the order of the schema.
pub(crate) fn properties(schema: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let properties = schema.get("properties").and_then(Json::as_object);
    properties.into_iter().flatten().map(|(key, about)| (key.as_str(), about))
}

/// A connector whose settings were read and checked.
pub trait ConfiguredConnector: Send + fmt::Debug {
    /// The connector, for whoever knows its type.
    fn as_any(&self) -> &dyn Any;
    /// What the engine must know of it.
    fn info(&self) -> ConnectorInfo;
    /// A connection for an engine to start.
    fn into_connection(self: Box<Self>, name: &str, settings: ConnectionSettings) -> Connection;
}

trait ReadConnector: Send + Sync + fmt::Debug {
    fn read(&self, settings: &Node) -> Result<Box<dyn ConfiguredConnector>, ConfigError>;
}

struct Typed<C>(PhantomData<fn() -> C>);

impl<C> fmt::Debug for Typed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<C>())
    }
}

impl<C: ConfigurableConnector> ReadConnector for Typed<C> {
    fn read(&self, settings: &Node) -> Result<Box<dyn ConfiguredConnector>, ConfigError> {
        let written = de::read::<C::Settings>(settings)?;
        match C::from_settings(written) {
            Ok(connector) => Ok(Box::new(Configured(connector))),
            Err(error) => Err(refused(twinflow_connectors::error::chain(&error), settings)),
        }
    }
}

/// A connector's own sentence, at the key that it names in backquotes.
fn refused(sentence: String, settings: &Node) -> ConfigError {
    let named = settings.as_table().into_iter().flatten().find(|(key, _)| {
        [format!("`{key}`"), format!("`{key} ")].iter().any(|name| sentence.contains(name))
    });
    match named {
        Some((key, node)) => ConfigError::new(sentence).below(key).at(&node.place),
        None => ConfigError::new(sentence).at(&settings.place),
    }
}

struct Configured<C>(C);

impl<C> fmt::Debug for Configured<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<C>())
    }
}

impl<C: ConfigurableConnector> ConfiguredConnector for Configured<C> {
    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn info(&self) -> ConnectorInfo {
        self.0.info()
    }

    fn into_connection(self: Box<Self>, name: &str, settings: ConnectionSettings) -> Connection {
        Connection::new(name, self.0, settings)
    }
}
