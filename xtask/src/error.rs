//! What can go wrong here: a call nobody can follow, or work that did not succeed.

use std::fmt;
use std::process::ExitCode;

/// The result of everything in this crate that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a verb did not succeed, as text for the person who typed it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Error {
    kind: Kind,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
}

impl Error {
    /// The work was understood and did not succeed.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, text: text.into() }
    }

    /// The command line asks for something that does not exist.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, text: text.into() }
    }

    /// 1 for work that failed, 64 for a wrong command line.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::FAILURE,
            Kind::Usage => ExitCode::from(64),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
