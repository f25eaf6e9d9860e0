//! `twinflow run`: the supervisor, or the engine in this process.

use std::{
    io,
    process::{Command, ExitCode},
};

use clap::Args;

use super::{FileArgs, LogArgs, complain};
use crate::{
    config::{Config, Registries},
    error::{Error, ErrorKind, Result},
    server,
    supervisor::{self, Child},
};

/// `twinflow run`
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: FileArgs,
    /// Run the engine in this process: nobody starts it again when it ends
    #[arg(long)]
    no_supervise: bool,
    /// This process was started by its supervisor
    #[arg(long, hide = true)]
    supervised: bool,
    #[command(flatten)]
    log: LogArgs,
}

impl Run {
    pub(super) fn run(self, kinds: &Registries) -> Result<ExitCode> {
        let child = if self.supervised { Some(Child::take()?) } else { None };
        server::log::start(self.log.log_format, &self.log.log)?;
        let config = self.file.load(kinds)?;
        if child.is_none() && !self.no_supervise {
            return supervise(&config);
        }
        let stopped = server::run::run(config, child)?;
        complain(&format!("{stopped}\n"));
        Ok(ExitCode::SUCCESS)
    }
}

/// This program once more, with the same arguments, as a child that is watched.
fn supervise(config: &Config) -> Result<ExitCode> {
    let cannot = |error: io::Error| {
        let what = "could not find this program's own file; run it with --no-supervise";
        Error::new(ErrorKind::Unavailable, what).because(error)
    };
    let listeners = server::listeners::bind(config)?;
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command.args(std::env::args_os().skip(1)).arg("--supervised");
    let code = supervisor::supervise(command, listeners)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
