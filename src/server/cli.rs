//! The command line: one file per verb under `cli/`.

mod ask;
mod completion;
mod connections;
mod connectors;
mod dead_letters;
mod keys;
mod new;
mod output;
mod quarantine;
mod run;
mod send;
mod state;
mod twins;
mod validate;
mod version;
mod watch;

use std::{ffi::OsString, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind as ClapKind};

pub(super) use self::ask::TlsArgs;
use self::ask::{AskArgs, ServerArgs, TwinArgs};
use super::log::LogFormat;
use crate::{
    config::{Config, DEFAULT_FILE, Environment, Flags, Registries},
    demo::{self, DemoEngineOptions, DemoOptions},
    error::{Error, ErrorKind, Result},
};

/// A stream-processing dataflow engine for real-time digital twins.
///
/// Exit codes: 0 done, 1 refused by the server, 64 wrong use, 65 a model halted, 69 something
/// needed is not there, 70 broken invariant, 74 disk or store, 78 configuration or state refused.
#[derive(Debug, Parser)]
#[command(
    name = "twinflow",
    version,
    disable_help_subcommand = false,
    arg_required_else_help = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// See it work: simulated devices, twins that act, a live table; nothing to set up
    Demo(DemoOptions),
    #[command(hide = true)]
    DemoEngine(DemoEngineOptions),
    /// Run the server that the file describes
    Run(run::Run),
    /// Check the file, and that addresses and connectors can be had
    Validate(validate::Validate),
    /// Print the effective settings, secrets as references
    Config(FileArgs),
    /// Make a crate with a model, a test and a program
    New(new::New),
    /// Send one message by hand and print the answer
    Send(send::Send),
    /// Look at twins
    #[command(subcommand)]
    Twins(twins::Twins),
    /// Kinds of connectors, their guarantee, their settings
    #[command(subcommand)]
    Connectors(connectors::Connectors),
    /// The running connections
    #[command(subcommand)]
    Connections(connections::Connections),
    /// What could not be processed: look at it, replay it, drop it
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Twins that are set aside because they ended the process
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// A state directory without an engine: look, check, copy, remove
    #[command(subcommand)]
    State(state::State),
    /// The keys that callers of a server have to show
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Print the version
    Version(output::OutputArgs),
    /// Print a completion script for a shell
    Completion(completion::Completion),
}

/// Which file, and which state directory.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Sets `state.dir`
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Take passwords that stand in the file itself; everybody who may read the file has them
    #[arg(long)]
    allow_inline_secrets: bool,
}

/// Which file, and what overrides it.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Sets `server.workers`
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

impl PlaceArgs {
    /// Reads and checks the file.
    fn load(&self, kinds: &Registries) -> Result<Config> {
        self.load_with(None, kinds)
    }

    fn load_with(&self, workers: Option<String>, kinds: &Registries) -> Result<Config> {
        let (state_dir, allow_inline_secrets) = (self.state_dir.clone(), self.allow_inline_secrets);
        let flags = Flags { state_dir, workers, allow_inline_secrets };
        Config::load(&self.config, &flags, &Environment::of_process(), kinds)
            .map_err(|errors| Error::misconfigured(errors.to_string()))
    }
}

impl FileArgs {
    /// Reads and checks the file.
    fn load(&self, kinds: &Registries) -> Result<Config> {
        self.place.load_with(self.workers.clone(), kinds)
    }
}

/// Who may come in.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Open addresses that other machines reach even without TLS and keys: everybody on the
    /// network can read along and do everything
    #[arg(long)]
    insecure_listen: bool,
}

/// How the log looks.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Form of a log line; default: text on a terminal, JSON otherwise
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, for example `debug` or `warn,twinflow=trace`
    #[arg(long, value_name = "FILTER", env = "TWINFLOW_LOG", default_value = "info")]
    log: String,
}

/// Does what `arguments` say.
pub(super) fn main(kinds: &Registries, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let verb = match Cli::try_parse_from(arguments) {
        Ok(Cli { verb }) => verb,
        Err(error) => return usage(&error),
    };
    match verb.run(kinds) {
        Ok(code) => code,
        Err(error) => {
            for line in error.report().lines() {
                complain(&format!("error: {line}\n"));
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}

impl Verb {
    fn run(self, kinds: &Registries) -> Result<ExitCode> {
        let done = match self {
            Self::Run(verb) => return verb.run(kinds),
            Self::State(verb) => return verb.run(kinds),
            Self::Demo(options) => demo::run(&options),
            Self::DemoEngine(options) => demo::run_engine(&options),
            Self::Validate(verb) => verb.run(kinds),
            Self::Config(file) => output::print(&file.load(kinds)?.show(kinds)),
            Self::New(verb) => verb.run(),
            Self::Send(verb) => verb.run(),
            Self::Twins(verb) => verb.run(),
            Self::Connectors(verb) => verb.run(kinds),
            Self::Connections(verb) => verb.run(kinds),
            Self::DeadLetters(verb) => verb.run(),
            Self::Quarantine(verb) => verb.run(),
            Self::Keys(verb) => verb.run(kinds),
            Self::Version(output) => version::run(&output),
            Self::Completion(verb) => verb.run(&mut Cli::command()),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Help and version are no errors; everything else is wrong use.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion);
    let text = error.render();
    if asked {
        return match output::print(&text.to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => ExitCode::from(error.kind().exit_code()),
        };
    }
    complain(&text.to_string());
    ExitCode::from(ErrorKind::Usage.exit_code())
}

/// Writes to standard error; who closed it wants to hear nothing.
fn complain(text: &str) {
    let _closed = std::io::stderr().lock().write_all(text.as_bytes()).is_err();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
