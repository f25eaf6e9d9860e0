//! What ends a connection, and what the engine is told of it.

use std::fmt;

use crate::error::{ConnectorError, ErrorKind};

/// Why a connection is over. It never has a payload or a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It cannot be reached, or was lost.
    Lost(String),
    /// The broker refused us, and would again.
    Refused(String),
    /// The broker refused us for the moment.
    NotNow(String),
    /// Another client took our session.
    TakenOver,
    /// A packet is larger than what we take; the broker would send it again and again.
    TooLarge(String),
    /// The two ends do not agree on certificates.
    Tls(String),
}

impl Trouble {
    /// A request that could not be put to the client: its connection is over.
    pub(super) fn gone() -> Self {
        Self::Lost("the connection is over".into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(text)
            | Self::Refused(text)
            | Self::NotNow(text)
            | Self::TooLarge(text)
            | Self::Tls(text) => f.write_str(text),
            Self::TakenOver => f.write_str("another client with the same id took the session over"),
        }
    }
}

/// Troubles of one kind after which trying again is pointless.
const TAKEN_OVER_MAX: u32 = 2;
const TLS_MAX: u32 = 3;

/// What the sessions of a connection remember of their ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    taken_over: u32,
    tls: u32,
}

impl Ends {
    /// A session is up: certificates are right.
    pub(super) fn connected(&mut self) {
        self.tls = 0;
    }

    /// The error of a session that ended with `trouble` while `doing` something with `broker`.
    pub(super) fn error(&mut self, trouble: Trouble, broker: &str, client: &str) -> ConnectorError {
        self.taken_over = if trouble == Trouble::TakenOver { self.taken_over + 1 } else { 0 };
        if matches!(trouble, Trouble::Tls(_)) {
            self.tls += 1;
        }
        let retry = match &trouble {
            Trouble::Lost(_) | Trouble::NotNow(_) => true,
            Trouble::Refused(_) | Trouble::TooLarge(_) => false,
            Trouble::TakenOver => self.taken_over < TAKEN_OVER_MAX,
            Trouble::Tls(_) => self.tls < TLS_MAX,
        };
        let doing = if trouble == Trouble::TakenOver && !retry {
            format!(
                "keep the session \"{client}\" with {broker}: another client uses the same \
                 `client_id`, and the two throw each other out; give each its own"
            )
        } else {
            format!("keep the session \"{client}\" with {broker}: {trouble}")
        };
        let kind = if retry { ErrorKind::Unreachable } else { ErrorKind::Rejected };
        ConnectorError::new(kind, doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_taken_over_twice_is_not_tried_again() {
        let mut ends = Ends::default();
        assert!(ends.error(Trouble::TakenOver, "b", "c").is_retryable());
        assert!(ends.error(Trouble::gone(), "b", "c").is_retryable());
        assert!(ends.error(Trouble::TakenOver, "b", "c").is_retryable());
        let error = ends.error(Trouble::TakenOver, "b", "plant");
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("another client uses the same `client_id`"), "{error}");
        assert!(error.to_string().contains("\"plant\""), "{error}");
    }

    #[test]
    fn certificates_get_three_tries() {
        let mut ends = Ends::default();
        let trouble = || Trouble::Tls("unknown issuer".into());
        assert!(ends.error(trouble(), "b", "c").is_retryable());
        assert!(ends.error(trouble(), "b", "c").is_retryable());
        assert!(!ends.error(trouble(), "b", "c").is_retryable());
        ends.connected();
        assert!(ends.error(trouble(), "b", "c").is_retryable());
    }
}
