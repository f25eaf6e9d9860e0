//! `twinflow quarantine list|release`.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    AskArgs, TwinArgs,
    output::{columns, text},
};
use crate::error::Result;

/// `twinflow quarantine`
#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
    /// The twins that are set aside, and why
    List(AskArgs),
    /// Take messages for a twin again
    Release(One),
}

/// `twinflow quarantine release`
#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    twin: TwinArgs,
    #[command(flatten)]
    ask: AskArgs,
}

impl Quarantine {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::List(ask) => ask.show(Method::GET, "/v1/quarantine", list),
            Self::Release(one) => {
                let path = format!("/v1/quarantine/{}/release", one.twin.path());
                one.ask.show(Method::POST, &path, |answer| {
                    format!("{} {} is released\n", text(answer, "model"), text(answer, "twin"))
                })
            }
        }
    }
}

fn list(answer: &Value) -> String {
    let head = ["MODEL", "TWIN", "CONNECTION", "WHY"];
    columns(&head, &["model", "twin", "connection", "reason"], &answer["quarantine"])
}
