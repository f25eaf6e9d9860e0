//! What can go wrong with an engine as a whole: a subject, an attempt, a kind and a cause.

use std::{error::Error as StdError, fmt};

use twinflow_operators::store::StoreError;

/// The cause below an [`Error`].
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What a fallible call of this crate gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the engine. `Display` prints this level; [`Error::report`] and `Debug`, which is
/// what a `main` that returns it prints, the whole chain.
pub struct Error {
    kind: ErrorKind,
    what: String,
    cause: Option<Cause>,
}

/// What callers branch on; each kind has one exit code (laws.md, exit codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refused a client's request.
    Refused,
    /// The command line was used wrongly.
    Usage,
    /// A model's policy is `halt` and it failed.
    Halted,
    /// A needed service, an address or a port is not to be had.
    Unavailable,
    /// An invariant of the program is broken.
    Broken,
    /// Another generation has taken over this state; starting again cannot help.
    Fenced,
    /// The disk or the store does not do what it must.
    Disk,
    /// The configuration cannot work; a person has to change it.
    Misconfigured,
    /// The state directory cannot be used as it is.
    StateRefused,
}

impl ErrorKind {
    /// The exit code of a process that ends with this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 64,
            Self::Halted => 65,
            Self::Unavailable => 69,
            Self::Broken | Self::Fenced => 70,
            Self::Disk => 74,
            Self::Misconfigured | Self::StateRefused => 78,
        }
    }
}

impl Error {
    /// An error that `what` tells in a sentence.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    /// The configuration cannot work.
    pub fn misconfigured(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Misconfigured, what)
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What callers branch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// This error and everything below it, in one line.
    pub fn report(&self) -> String {
        twinflow_connectors::error::chain(self)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn StdError + 'static))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Refused { .. } => ErrorKind::StateRefused,
            StoreError::Fenced { .. } => ErrorKind::Fenced,
            StoreError::Corrupt { .. } | StoreError::Full { .. } | StoreError::Io { .. } => {
                ErrorKind::Disk
            }
        };
        let what = error.to_string();
        match error {
            StoreError::Io { cause, .. } => Self::new(kind, what).because(cause),
            _ => Self::new(kind, what),
        }
    }
}
