//! `twinflow dead-letters list|show|replay|drop`.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    AskArgs,
    output::{columns, members, text},
};
use crate::{error::Result, server::client::Client};

/// Dead letters of one request.
const PAGE: u32 = 1000;

/// `twinflow dead-letters`
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// What could not be processed, oldest first
    List(List),
    /// Everything about one of them, with its payload
    Show(One),
    /// Give messages to their twins once more; what fails again stays
    Replay(Several),
    /// Forget them
    Drop(Several),
}

/// `twinflow dead-letters list`
#[derive(Debug, Args)]
pub(super) struct List {
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only those with a larger number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    ask: AskArgs,
}

/// `twinflow dead-letters show`
#[derive(Debug, Args)]
pub(super) struct One {
    /// Its number
    number: u64,
    #[command(flatten)]
    ask: AskArgs,
}

/// `twinflow dead-letters replay|drop`
#[derive(Debug, Args)]
pub(super) struct Several {
    /// Their numbers; the first that is refused ends it
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<u64>,
    #[command(flatten)]
    ask: AskArgs,
}

impl DeadLetters {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(one) => {
                one.ask.show(Method::GET, &format!("/v1/dead-letters/{}", one.number), members)
            }
            Self::Replay(several) => several.each(&Method::POST, "/replay"),
            Self::Drop(several) => several.each(&Method::DELETE, ""),
        }
    }
}

impl List {
    fn run(self) -> Result<()> {
        let client = self.ask.server.client()?;
        let (mut letters, mut after) = (Vec::new(), Some(self.after));
        while let Some(number) = after.take()
            && letters.len() < self.limit as usize
        {
            let limit = (self.limit - letters.len() as u32).min(PAGE);
            let mut page = page(&client, limit, number)?;
            if let Some(Value::Array(page)) = page.get_mut("dead_letters").map(Value::take) {
                letters.extend(page);
            }
            after = page.get("next").and_then(Value::as_u64);
        }
        self.ask.output.show(&Value::Array(letters), |letters| {
            let head = ["NUMBER", "KIND", "MODEL", "TWIN", "CONNECTION", "REASON"];
            columns(&head, &["number", "kind", "model", "twin", "connection", "reason"], letters)
        })
    }
}

fn page(client: &Client, limit: u32, after: u64) -> Result<Value> {
    client.ask(Method::GET, &format!("/v1/dead-letters?limit={limit}&after={after}"), None)
}

impl Several {
    fn each(&self, method: &Method, what: &str) -> Result<()> {
        let client = self.ask.server.client()?;
        for number in &self.numbers {
            let path = format!("/v1/dead-letters/{number}{what}");
            let answer = client.ask(method.clone(), &path, None)?;
            self.ask.output.show(&answer, |answer| {
                let (outcome, epoch) = (text(answer, "outcome"), text(answer, "epoch"));
                format!("dead letter {number}: {outcome} in epoch {epoch}\n")
            })?;
        }
        Ok(())
    }
}
