//! `twinflow run`.

use clap::Args;

use super::{FileArgs, ListenArgs, LogArgs, complain};
use crate::{config::Registries, error::Result, server};

/// `twinflow run`
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

impl Run {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        server::log::start(self.log.log_format, &self.log.log)?;
        let stopped = server::run::run(self.file.load(kinds)?, self.listen.insecure_listen)?;
        complain(&format!("{stopped}\n"));
        Ok(())
    }
}
