//! `twinflow twins list|get|watch`.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    AskArgs, TwinArgs,
    output::{columns, text},
    watch::Watch,
};
use crate::{error::Result, server::client::segment};

/// `twinflow twins`
#[derive(Debug, Subcommand)]
pub(super) enum Twins {
    /// Ids of a model's twins
    List(List),
    /// The committed state of one twin
    Get(One),
    /// What is done to one twin or to all: messages, changes of the state, feedback; until Ctrl-C
    Watch(Watch),
}

/// `twinflow twins list`
#[derive(Debug, Args)]
pub(super) struct List {
    /// Name of the model
    model: String,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    ask: AskArgs,
}

/// `twinflow twins get`
#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    twin: TwinArgs,
    #[command(flatten)]
    ask: AskArgs,
}

impl Twins {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::List(list) => list.run(),
            Self::Get(one) => one.run(),
            Self::Watch(watch) => watch.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<()> {
        let client = self.ask.server.client()?;
        let (mut twins, mut after) = (Vec::new(), String::new());
        while twins.len() < self.limit as usize {
            let page = (self.limit as usize - twins.len()).min(1000);
            let path = format!("/v1/twins/{}?limit={page}{after}", segment(&self.model));
            let mut answer = client.ask(Method::GET, &path, None)?;
            if let Some(Value::Array(page)) = answer.get_mut("twins").map(Value::take) {
                twins.extend(page);
            }
            match answer.get("next").and_then(Value::as_str) {
                Some(next) => after = format!("&after={}", segment(next)),
                None => break,
            }
        }
        self.ask.output.show(&Value::Array(twins), |twins| columns(&["ID"], &["id"], twins))
    }
}

impl One {
    fn run(self) -> Result<()> {
        let path = format!("/v1/twins/{}", self.twin.path());
        let twin = self.ask.server.client()?.ask(Method::GET, &path, None)?;
        self.ask.output.show(&twin, |twin| {
            let state = twin.get("state").unwrap_or(&Value::Null);
            let state = serde_json::to_string_pretty(state).unwrap_or_default();
            format!("epoch {}\n{state}\n", text(twin, "epoch"))
        })
    }
}
