//! `twinflow connections list|show|pause|resume|reset`.

mod reset;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    AskArgs,
    output::{members, table, text},
};
use crate::{config::Registries, error::Result, server::client::segment};

/// `twinflow connections`
#[derive(Debug, Subcommand)]
pub(super) enum Connections {
    /// All connections, with the oldest that is not acknowledged and why
    List(AskArgs),
    /// Everything about one connection
    Show(Named),
    /// Take no messages from a connection; its position is kept
    Pause(Named),
    /// Go on where it stopped
    Resume(Named),
    /// Move stored positions while the engine is stopped: what is read again is applied again
    Reset(reset::Reset),
}

/// The verbs on one connection.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Name of the connection
    name: String,
    #[command(flatten)]
    ask: AskArgs,
}

impl Connections {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        match self {
            Self::List(ask) => ask.show(Method::GET, "/v1/connections", list),
            Self::Show(named) => named.ask(Method::GET, ""),
            Self::Pause(named) => named.ask(Method::POST, "/pause"),
            Self::Resume(named) => named.ask(Method::POST, "/resume"),
            Self::Reset(verb) => verb.run(kinds),
        }
    }
}

impl Named {
    fn ask(&self, method: Method, what: &str) -> Result<()> {
        let path = format!("/v1/connections/{}{what}", segment(&self.name));
        self.ask.show(method, &path, members)
    }
}

fn list(answer: &Value) -> String {
    let connections = answer.get("connections").and_then(Value::as_array);
    let rows = connections.into_iter().flatten().map(|one| {
        let why = ["error", "note", "waiting_for"].into_iter().find(|key| one.get(key).is_some());
        let columns = ["name", "type", "state", "received", "lag_messages"];
        let columns = columns.into_iter().chain(["unacknowledged_deliveries"]);
        let columns = columns.chain(why.or(Some("waiting_for")));
        let mut row: Vec<_> = columns.map(|key| text(one, key)).collect();
        let oldest = one.get("oldest_unacknowledged_seconds").and_then(Value::as_f64);
        row.insert(6, format!("{:.1} s", oldest.unwrap_or(0.0)));
        row
    });
    let head = ["NAME", "TYPE", "STATE", "RECEIVED", "LAG", "UNACKED", "OLDEST", "WHY"];
    table(&head, &rows.collect::<Vec<_>>())
}
