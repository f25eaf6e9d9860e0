//! `twinflow run`.

use clap::Args;

use super::{FileArgs, LogArgs, complain};
use crate::{
    config::Registries,
    error::Result,
    server::{self, run::StartOptions},
};

/// `twinflow run`
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    log: LogArgs,
    /// Go on with a damaged log: give up everything behind this epoch
    #[arg(long, value_name = "EPOCH")]
    recover_from: Option<u64>,
    /// Keep what is stored of models and connections that the file lacks, and start without it
    #[arg(long)]
    keep_unknown: bool,
}

impl Run {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        server::log::start(self.log.log_format, &self.log.log)?;
        let start =
            StartOptions { recover_from: self.recover_from, keep_unknown: self.keep_unknown };
        let stopped = server::run::run(self.file.load(kinds)?, start)?;
        complain(&format!("{stopped}\n"));
        Ok(())
    }
}
