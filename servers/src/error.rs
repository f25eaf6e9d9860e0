//! Why a server could not be had.

use std::{fmt, io, path::Path};

/// Why a server could not be started, ended or reached, and what to install where that helps.
#[derive(Debug)]
pub struct ServerError(String);

impl ServerError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("{what} '{}': {error}", path.display()))
    }

    /// Whether another process was faster with one of the ports.
    pub(crate) fn is_taken_port(&self) -> bool {
        self.0.contains("ddress already in use")
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}
