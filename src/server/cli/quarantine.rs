//! `twinflow quarantine list|release`.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    ServerArgs,
    output::{OutputArgs, table, text},
};
use crate::{error::Result, server::client::segment};

/// `twinflow quarantine`
#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
    /// The twins that are set aside, and why
    List(All),
    /// Take messages for a twin again
    Release(One),
}

/// `twinflow quarantine list`
#[derive(Debug, Args)]
pub(super) struct All {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `twinflow quarantine release`
#[derive(Debug, Args)]
pub(super) struct One {
    /// Name of the model
    model: String,
    /// The twin's id
    id: String,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Quarantine {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::List(all) => {
                let answer = all.server.client()?.ask(Method::GET, "/v1/quarantine", None)?;
                all.output.show(&answer, list)
            }
            Self::Release(one) => {
                let (model, id) = (segment(&one.model), segment(&one.id));
                let path = format!("/v1/quarantine/{model}/{id}/release");
                let answer = one.server.client()?.ask(Method::POST, &path, None)?;
                one.output.show(&answer, |answer| {
                    format!("{} {} is released\n", text(answer, "model"), text(answer, "twin"))
                })
            }
        }
    }
}

fn list(answer: &Value) -> String {
    let twins = answer.get("quarantine").and_then(Value::as_array).into_iter().flatten();
    let columns = ["model", "twin", "connection", "reason"];
    let rows = twins.map(|twin| columns.map(|key| text(twin, key)).to_vec());
    table(&["MODEL", "TWIN", "CONNECTION", "WHY"], &rows.collect::<Vec<_>>())
}
