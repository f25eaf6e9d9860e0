//! `twinflow send MODEL ID JSON`.

use axum::http::Method;
use clap::Args;
use serde_json::Value;

use super::{ServerArgs, TwinArgs, output::print};
use crate::error::{Error, ErrorKind, Result};

/// `twinflow send`
#[derive(Debug, Args)]
pub(super) struct Send {
    #[command(flatten)]
    twin: TwinArgs,
    /// The message: one JSON object, or an array of several
    json: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Send {
    pub(super) fn run(self) -> Result<()> {
        if let Err(error) = serde_json::from_str::<Value>(&self.json) {
            let what = "the message is not JSON; quote it for your shell: '{\"a\":1}'";
            return Err(Error::new(ErrorKind::Usage, what).because(error));
        }
        let path = format!("/v1/twins/{}/messages", self.twin.path());
        let answer = self.server.client()?.ask(Method::POST, &path, Some(self.json))?;
        print(&format!("{answer}\n"))
    }
}
