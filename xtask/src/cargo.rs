//! Calls of cargo, always from the root of the repository.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// Name and value of an environment variable for one call.
pub(crate) type Variable<'a> = (&'a str, &'a str);

/// The directory of the workspace manifest.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask is a folder of the workspace")
}

/// Runs `cargo ARGUMENTS` with its output shown.
///
/// # Errors
///
/// When cargo cannot be started or does not exit with 0.
pub(crate) fn run(arguments: &[&str], environment: &[Variable<'_>]) -> Result<()> {
    let status = command(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| Error::failed(format!("start cargo: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::failed(format!("`cargo {}` ended with {status}", arguments.join(" "))))
}

/// Runs `cargo ARGUMENTS` and returns what it wrote to standard output.
///
/// # Errors
///
/// When cargo cannot be started, does not exit with 0 or writes something that is not UTF-8.
pub(crate) fn output(arguments: &[&str]) -> Result<String> {
    let output = command(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::failed(format!("start cargo: {error}")))?;
    if !output.status.success() {
        let call = arguments.join(" ");
        return Err(Error::failed(format!("`cargo {call}` ended with {}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| Error::failed(format!("read the output of cargo: {error}")))
}

/// What `cargo ARGUMENTS` wrote to standard error when it did not exit with 0, `removed` not being
/// in its environment; nothing when it did.
///
/// # Errors
///
/// When cargo cannot be started.
pub(crate) fn refusal(arguments: &[&str], removed: &str) -> Result<Option<String>> {
    let output = command(arguments)
        .env_remove(removed)
        .output()
        .map_err(|error| Error::failed(format!("start cargo: {error}")))?;
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then(text))
}

/// Whether `cargo NAME` exists on this machine.
pub(crate) fn has(subcommand: &str) -> bool {
    command(&[subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}
