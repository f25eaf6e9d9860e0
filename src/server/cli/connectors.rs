//! `twinflow connectors list|explain`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{OutputArgs, columns, text};
use crate::{
    config::{ConnectorKind, Registries, properties},
    error::{Error, ErrorKind, Result},
    server::banner::guarantee,
};

/// `twinflow connectors`
#[derive(Debug, Subcommand)]
pub(super) enum Connectors {
    /// The connectors of this build
    List(OutputArgs),
    /// One connector: its guarantee and its settings
    Explain(Explain),
}

/// `twinflow connectors explain`
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The connector, as `type` names it
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl Connectors {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        match self {
            Self::List(output) => {
                let all: Vec<_> = kinds.connectors.iter().map(about).collect();
                output.show(&Value::Array(all), list)
            }
            Self::Explain(explain) => {
                let Some(kind) = kinds.connectors.get(&explain.name) else {
                    let known: Vec<_> = kinds.connectors.iter().map(ConnectorKind::name).collect();
                    let what = format!(
                        "there is no connector \"{}\"; connectors: {}",
                        explain.name,
                        known.join(", ")
                    );
                    return Err(Error::new(ErrorKind::Usage, what));
                };
                let mut json = about(kind);
                json["settings"] = kind.schema().clone();
                explain.output.show(&json, explained)
            }
        }
    }
}

fn about(kind: &ConnectorKind) -> Value {
    json!({
        "type": kind.name(),
        "about": kind.about(),
        "guarantee": guarantee(kind.guarantee()),
    })
}

fn list(all: &Value) -> String {
    columns(&["TYPE", "GUARANTEE", "ABOUT"], &["type", "guarantee", "about"], all)
}

fn explained(json: &Value) -> String {
    let mut out = format!(
        "{}: {}\nguarantee: {}\n\nsettings:\n",
        text(json, "type"),
        text(json, "about"),
        text(json, "guarantee")
    );
    for (key, about) in properties(&json["settings"]) {
        let words = text(about, "description").replace('\n', " ");
        out.push_str(&format!("  {key}\n      {words}\n"));
    }
    out.push_str("\nevery connection also has: enabled, drain_timeout_ms, ");
    out.push_str("reconnect_backoff_ms, reconnect_backoff_max_ms\n");
    out
}
