//! The file that a user writes, read and checked: TOML, references, environment, flags.
//!
//! Everything that is wrong is said with its file and line, its key path, and a sentence. Below
//! this module only validated values travel.
//!
//! Reading order: `node.rs` and `parse.rs` make a tree in which each value knows its line,
//! `reference.rs` and `environment.rs` fill in what comes from outside, `secrets.rs` refuses what
//! should come from there, `de.rs` reads settings
//! types from it, `section.rs`, `model.rs` and `connection.rs` check them, `kinds.rs` holds the
//! kinds that `type` can name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

mod connection;
mod de;
mod environment;
mod error;
#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod kinds;
mod later;
mod model;
mod near;
mod node;
mod parse;
mod reference;
mod secrets;
mod section;
mod show;
#[cfg(test)]
mod tests;

pub use connection::{ConnectionConfig, ConnectionOptions};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use kinds::{ConfiguredConnector, ConfiguredModel, ConnectorKind, ConnectorKinds};
pub use model::ModelConfig;
pub use section::{ServerSettings, StateSettings, StoreKind};

pub(crate) use kinds::{ReadModel, configure, properties};
pub(crate) use node::Node;

use self::{
    error::Place,
    near::suggest,
    node::Table,
    section::{KeyProblem, WrittenServer, WrittenState},
};

use crate::models::ModelKinds;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "twinflow.toml";

/// The kinds that a file can name.
#[derive(Debug, Default)]
pub struct Registries {
    /// Kinds of models.
    pub models: ModelKinds,
    /// Connectors.
    pub connectors: ConnectorKinds,
    /// Live views of the server.
    #[cfg(feature = "live-views")]
    pub views: Vec<crate::View>,
}

/// Flags of the command line that set keys; they win over everything.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--state-dir`: sets `state.dir`.
    pub state_dir: Option<String>,
    /// `--workers`: sets `server.workers`.
    pub workers: Option<String>,
    /// `--allow-inline-secrets`: secrets may stand in the file itself; they are not shown.
    pub allow_inline_secrets: bool,
}

/// A configuration in which everything was checked.
#[derive(Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// `[server]`.
    pub server: ServerSettings,
    /// `[state]`.
    pub state: StateSettings,
    /// `[models]`, in the order of their names.
    pub models: Vec<ModelConfig>,
    /// `[connections]`, in the order of their names.
    pub connections: Vec<ConnectionConfig>,
    tree: Node,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its place.
    pub fn load(
        file: &Path,
        flags: &Flags,
        environment: &Environment,
        kinds: &Registries,
    ) -> Result<Self, ConfigErrors> {
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "; name another one with --config FILE",
                _ => "",
            };
            ConfigError::new(format!("{name}: the configuration has no text: {error}{hint}"))
        })?;
        Self::of_text(file, &text, flags, environment, kinds)
    }

    /// Checks a file's text.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn of_text(
        file: &Path,
        text: &str,
        flags: &Flags,
        environment: &Environment,
        kinds: &Registries,
    ) -> Result<Self, ConfigErrors> {
        let name: Arc<str> = file.display().to_string().into();
        let mut tree = parse::parse(&name, text, environment)?;
        environment.override_keys(&mut tree)?;
        flags.set(&mut tree);
        if flags.allow_inline_secrets {
            secrets::hide_written(&mut tree, kinds);
        }
        check(file, tree, kinds)
    }

    /// The effective settings as TOML: what the file leaves out has its default, and what came by
    /// a reference is shown as the reference.
    pub fn show(&self, kinds: &Registries) -> String {
        show::show(&self.tree, kinds)
    }
}

impl Flags {
    fn set(&self, tree: &mut Node) {
        if let Some(dir) = &self.state_dir {
            environment::set_flag(tree, &["state", "dir"], dir, "--state-dir");
        }
        if let Some(workers) = &self.workers {
            environment::set_flag(tree, &["server", "workers"], workers, "--workers");
        }
    }
}

/// The sections of a file.
const SECTIONS: [&str; 4] = ["connections", "models", "server", "state"];

fn check(file: &Path, tree: Node, kinds: &Registries) -> Result<Config, ConfigErrors> {
    let mut wrong: Vec<ConfigError> = Vec::new();
    wrong.extend(kinds.models.problem().map(ConfigError::new));
    wrong.extend(kinds.connectors.problems().iter().map(ConfigError::new));
    let root = tree.as_table().expect("a file is a table");
    for (key, node) in root.iter().filter(|(key, _)| !SECTIONS.contains(&key.as_str())) {
        let known = suggest(key, &SECTIONS, "sections");
        let error = ConfigError::new(format!("unknown section{known}"));
        wrong.push(error.below(key).at(&node.place));
    }
    let server = section::<WrittenServer, ServerSettings>(root, "server");
    let state = section::<WrittenState, StateSettings>(root, "state");
    let (server, state) = (keep(server, &mut wrong), keep(state, &mut wrong));
    let models =
        named(root, "models", &mut wrong, |name, node| model::read(name, node, &kinds.models));
    let connections = named(root, "connections", &mut wrong, |name, node| {
        connection::read(name, node, &kinds.connectors)
    });
    if !root.contains_key("models") {
        let example = "name one, for example [models.devices] with type = \"shadow\"";
        wrong.push(ConfigError::new(format!("there is no model; {example}")).at(&tree.place));
    }
    match (server, state, wrong.is_empty()) {
        (Some(server), Some(state), true) => {
            Ok(Config { file: file.to_owned(), server, state, models, connections, tree })
        }
        _ => Err(ConfigErrors(wrong)),
    }
}

fn keep<T>(read: Result<T, ConfigError>, wrong: &mut Vec<ConfigError>) -> Option<T> {
    read.map_err(|error| wrong.push(error)).ok()
}

fn section<W, C>(root: &Table, name: &'static str) -> Result<C, ConfigError>
where
    W: DeserializeOwned + Default,
    C: TryFrom<W, Error = KeyProblem>,
{
    let absent = Node::table(Place::Flag("default"));
    let node = root.get(name).unwrap_or(&absent);
    let read = match node.as_table() {
        Some(_) => checked::<W, C>(node),
        None => Err(not_a_table(node)),
    };
    read.map_err(|error| error.below(name))
}

/// Reads what the user wrote and makes of it what was checked.
fn checked<W, C>(node: &Node) -> Result<C, ConfigError>
where
    W: DeserializeOwned,
    C: TryFrom<W, Error = KeyProblem>,
{
    C::try_from(de::read::<W>(node)?).map_err(|problem| {
        let key = node.as_table().and_then(|table| table.get(problem.key));
        let place = key.map_or(&node.place, |key| &key.place);
        ConfigError::new(problem.sentence).below(problem.key).at(place)
    })
}

/// Reads each table of a section by its name.
fn named<T>(
    root: &Table,
    section: &str,
    wrong: &mut Vec<ConfigError>,
    read: impl Fn(&str, &Node) -> Result<T, ConfigError>,
) -> Vec<T> {
    let Some(node) = root.get(section) else { return Vec::new() };
    let Some(table) = node.as_table() else {
        wrong.push(not_a_table(node).below(section));
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, node) in table {
        let one = match node.as_table() {
            Some(_) => read(name, node),
            None => Err(not_a_table(node)),
        };
        let one = one.map_err(|error| error.below(name).below(section));
        all.extend(keep(one, wrong));
    }
    all
}

fn not_a_table(node: &Node) -> ConfigError {
    ConfigError::new(format!("found {}, expected a table", node.kind())).at(&node.place)
}
