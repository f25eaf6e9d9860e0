//! The server: the command line, the HTTP API, and the kinds that a file can name.
//!
//! [`Server`] with the stock models is the program `twinflow`; with your own models and connectors
//! it is your own program with the same commands:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use twinflow::prelude::*;
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Pump {
//!     starts: u64,
//! }
//!
//! impl TwinModel for Pump {
//!     type Message<'m> = serde_json::Value;
//! }
//!
//! /// Its settings come from the file: `[models.pumps] type = "pump" starts_max = 100`.
//! #[derive(Deserialize)]
//! struct PumpWatch {
//!     starts_max: u64,
//! }
//!
//! impl MessageProcessor for PumpWatch {
//!     type Model = Pump;
//!
//!     fn process_messages(
//!         &self,
//!         cx: &mut ProcessingContext<'_>,
//!         pump: &mut Pump,
//!         messages: Messages<'_, serde_json::Value>,
//!     ) -> ProcessingResult {
//!         pump.starts += messages.len() as u64;
//!         if pump.starts > self.starts_max {
//!             cx.send_to_data_source("service")?;
//!         }
//!         Ok(Outcome::Update)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     twinflow::Server::new().model::<PumpWatch>("pump").main()
//! }
//! ```

mod alerts;
mod api;
mod audit;
mod banner;
mod cli;
mod client;
mod files;
mod keys;
mod listeners;
mod log;
mod mount;
mod reach;
mod run;

use std::process::ExitCode;

pub(crate) use self::{
    api::{Api, ApiSettings, router},
    log::start as start_log,
    run::{Serving, run_id},
};

use serde::de::DeserializeOwned;
use twinflow_connectors::ConfigurableConnector;
use twinflow_operators::model::MessageProcessor;

use crate::{
    config::{ConnectorKinds, Registries},
    models::ModelKinds,
};

/// The program `twinflow`, with your own kinds of models and connectors beside the stock ones.
#[derive(Debug)]
pub struct Server {
    kinds: Registries,
}

impl Default for Server {
    fn default() -> Self {
        let models = ModelKinds::stock();
        Self {
            kinds: Registries {
                models,
                connectors: ConnectorKinds::stock(),
                #[cfg(feature = "live-views")]
                views: Vec::new(),
            },
        }
    }
}

impl Server {
    /// A server with the stock models and connectors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of model: what `type` names in the file, and a processor that is read from the
    /// rest of the table.
    #[must_use]
    pub fn model<P: MessageProcessor + DeserializeOwned>(mut self, kind: &str) -> Self {
        self.kinds.models = self.kinds.models.with::<P>(kind);
        self
    }

    /// Adds a connector under its `TYPE`.
    #[must_use]
    pub fn connector<C: ConfigurableConnector>(mut self) -> Self {
        self.kinds.connectors = self.kinds.connectors.with::<C>();
        self
    }

    /// Adds a live view; its model is one that the file names.
    #[cfg(feature = "live-views")]
    #[must_use]
    pub fn view(mut self, view: crate::View) -> Self {
        self.kinds.views.push(view);
        self
    }

    /// Does what the command line says and gives the exit code.
    pub fn main(self) -> ExitCode {
        cli::main(&self.kinds, std::env::args_os())
    }
}
