//! What every verb that asks a running server is told: which server, which twin, which form.

use axum::http::Method;
use clap::Args;
use serde_json::Value;

use super::output::OutputArgs;
use crate::{
    error::Result,
    server::client::{Client, segment},
};

/// Which server.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Address of the running server
    #[arg(
        long,
        value_name = "URL",
        env = "TWINFLOW_SERVER",
        default_value = "http://127.0.0.1:7700"
    )]
    server: String,
    /// Key to show; better given by the environment, where others do not see it
    #[arg(long, value_name = "KEY", env = "TWINFLOW_KEY", hide_env_values = true)]
    key: Option<Secret>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Which server, and how its answer is printed.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl AskArgs {
    /// Asks without a body and prints the answer.
    pub(super) fn show(
        &self,
        method: Method,
        path: &str,
        table: impl FnOnce(&Value) -> String,
    ) -> Result<()> {
        let answer = self.server.client()?.ask(method, path, None)?;
        self.output.show(&answer, table)
    }
}

/// Which twin.
#[derive(Debug, Args)]
pub(super) struct TwinArgs {
    /// Name of the model
    model: String,
    /// The twin's id
    id: String,
}

impl TwinArgs {
    /// Both as segments of a path.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", segment(&self.model), segment(&self.id))
    }
}

/// Files for a server with TLS.
#[derive(Debug, Args)]
pub(in crate::server) struct TlsArgs {
    /// Authorities of the server's certificate; default: those of the system
    #[arg(long, value_name = "FILE", env = "TWINFLOW_CA_FILE")]
    pub(in crate::server) ca_file: Option<String>,
    /// Certificate to show, for a server that asks for one
    #[arg(long, value_name = "FILE", env = "TWINFLOW_CERT_FILE", requires = "key_file")]
    pub(in crate::server) cert_file: Option<String>,
    /// Private key of that certificate
    #[arg(long, value_name = "FILE", env = "TWINFLOW_KEY_FILE", requires = "cert_file")]
    pub(in crate::server) key_file: Option<String>,
}

/// A text that is never printed.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl ServerArgs {
    pub(super) fn client(&self) -> Result<Client> {
        Client::new(&self.server, &self.tls)?
            .with_key(self.key.as_ref().map(|Secret(key)| key.as_str()))
    }
}
