//! What can go wrong between a connector and its upstream: a subject, an attempt and a kind.

use std::{error::Error as StdError, fmt};

/// The cause below an [`ConnectorError`].
pub type Cause = Box<dyn StdError + Send + Sync>;

/// An error of one connection. It never ends the engine: a retryable one is tried again with a
/// fresh link, another one puts the connection in the state `failed`.
#[derive(Debug)]
pub struct ConnectorError {
    kind: ErrorKind,
    doing: String,
    cause: Option<Cause>,
}

/// What callers branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The upstream cannot be reached at the moment; trying again is right.
    Unreachable,
    /// The upstream refused us: credentials, permission, a protocol that it does not speak.
    Rejected,
    /// The settings cannot work; a person has to change them.
    Misconfigured,
    /// The engine closed the link; nothing was delivered.
    Stopped,
}

impl ConnectorError {
    /// An error of `kind` while `doing` something; `doing` completes "could not ...".
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), cause: None }
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The engine closed the link.
    pub fn stopped() -> Self {
        Self::new(ErrorKind::Stopped, "deliver: the engine has closed the link")
    }

    /// What callers branch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether another try, without a change by a person, may succeed.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unreachable
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // This level only; the edge prints the chain.
        write!(f, "could not {}", self.doing)
    }
}

impl StdError for ConnectorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn StdError + 'static))
    }
}

/// An error with all its causes, as one line: what the edge prints.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
