//! `twinflow run`: the supervisor, or the engine in this process.

use std::{
    ffi::OsString,
    io,
    process::{Command, ExitCode},
};

use clap::Args;

use super::{FileArgs, ListenArgs, LogArgs, complain};
use crate::{
    config::{Config, Registries},
    error::{Error, ErrorKind, Result},
    server::{self, run::StartOptions},
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
    #[command(flatten)]
    listen: ListenArgs,
    /// Go on with a damaged log: give up everything behind this epoch
    #[arg(long, value_name = "EPOCH")]
    recover_from: Option<u64>,
    /// Keep what is stored of models and connections that the file lacks, and start without it
    #[arg(long)]
    keep_unknown: bool,
}

impl Run {
    pub(super) fn run(self, kinds: &Registries) -> Result<ExitCode> {
        #[cfg(feature = "fail-points")]
        crate::fail_points::arm()?;
        let child = if self.supervised { Some(Child::take()?) } else { None };
        server::log::start(self.log.log_format, &self.log.log)?;
        let (config, insecure) = (self.file.load(kinds)?, self.listen.insecure_listen);
        if child.is_none() && !self.no_supervise {
            return supervise(&config, insecure);
        }
        let options = StartOptions {
            recover_from: self.recover_from,
            keep_unknown: self.keep_unknown,
            #[cfg(feature = "live-views")]
            views: kinds.views.clone(),
        };
        let stopped = server::run::run(config, insecure, child, options)?;
        complain(&format!("{stopped}\n"));
        Ok(ExitCode::SUCCESS)
    }
}

/// This program once more, with the same arguments, as a child that is watched.
fn supervise(config: &Config, insecure: bool) -> Result<ExitCode> {
    let cannot = |error: io::Error| {
        let what = "could not find this program's own file; run it with --no-supervise";
        Error::new(ErrorKind::Unavailable, what).because(error)
    };
    let listeners = server::listeners::bind(config, insecure)?;
    let program = std::env::current_exe().map_err(cannot)?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = |arguments: Vec<OsString>| {
        let mut command = Command::new(&program);
        command.args(arguments).arg("--supervised");
        command
    };
    let (first, again) = (command(arguments.clone()), command(without_loss(arguments)));
    let code = supervisor::supervise(first, again, listeners)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// A person gave up what is behind an epoch once. What was acknowledged since is not given up by a
/// restart that finds new damage.
fn without_loss(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut value_follows = false;
    let mut kept = arguments;
    kept.retain(|argument| {
        let text = argument.to_string_lossy();
        let is_value = std::mem::replace(&mut value_follows, text == "--recover-from");
        !is_value && !value_follows && !text.starts_with("--recover-from=")
    });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_d7_what_is_given_up_is_given_up_by_the_first_child_only() {
        for with in [&["--recover-from", "17"][..], &["--recover-from=17"]] {
            let arguments = [&["run", "-c", "plant.toml"][..], with, &["--keep-unknown"]].concat();
            let again = without_loss(arguments.into_iter().map(OsString::from).collect());
            assert_eq!(again, ["run", "-c", "plant.toml", "--keep-unknown"]);
        }
    }
}
