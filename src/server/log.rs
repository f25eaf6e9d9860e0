//! Logs go to standard error: text on a terminal, JSON otherwise or by flag.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::error::{Error, ErrorKind, Result};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for programs.
    Json,
}

/// Starts logging for the whole process.
///
/// # Errors
///
/// The filter is not one.
pub(crate) fn start(format: Option<LogFormat>, filter: &str) -> Result<()> {
    let filter: Targets = filter.parse().map_err(|error| {
        let error: tracing_subscriber::filter::ParseError = error;
        Error::new(ErrorKind::Usage, format!("\"{filter}\" is no log filter")).because(error)
    })?;
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(terminal);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    started
        .map_err(|error| Error::new(ErrorKind::Broken, "logging was started twice").because(error))
}
