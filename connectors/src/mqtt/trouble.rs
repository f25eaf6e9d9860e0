//! What ends a connection, and what the engine is told of it.

use std::{fmt, time::Duration};

use crate::error::{ConnectorError, ErrorKind};

/// Why a connection is over. It never has a payload or a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It cannot be reached, or was lost.
    Lost(String),
    /// The broker closed it without a word.
    Closed,
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
            Self::Closed => f.write_str("the broker closed the connection"),
            Self::TakenOver => f.write_str("another client with the same id took the session over"),
        }
    }
}

/// Troubles of one kind after which trying again is pointless.
const TAKEN_OVER_MAX: u32 = 2;
const TLS_MAX: u32 = 3;

/// Many brokers do not say that a session was taken over. So many sessions in a row that were
/// closed without a word, none of them older than this, say it for them.
const QUICK_CLOSES_MAX: u32 = 10;
const QUICK: Duration = Duration::from_secs(60);

/// What the sessions of a connection remember of their ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    taken_over: u32,
    quick_closes: u32,
    tls: u32,
}

impl Ends {
    /// The error of a session that ended with `trouble`; `lived` is for how long it was connected,
    /// if it was at all.
    pub(super) fn error(
        &mut self,
        trouble: &Trouble,
        lived: Option<Duration>,
        session: &str,
    ) -> ConnectorError {
        let count = |counter: u32, counts: bool| if counts { counter + 1 } else { 0 };
        let quick = lived.is_some_and(|lived| lived < QUICK) && *trouble == Trouble::Closed;
        self.taken_over = count(self.taken_over, *trouble == Trouble::TakenOver);
        self.quick_closes = count(self.quick_closes, quick);
        self.tls = count(self.tls, matches!(trouble, Trouble::Tls(_)));
        let taken_over = self.taken_over >= TAKEN_OVER_MAX || self.quick_closes >= QUICK_CLOSES_MAX;
        let retry = match trouble {
            Trouble::Lost(_) | Trouble::NotNow(_) => true,
            Trouble::Refused(_) | Trouble::TooLarge(_) => false,
            Trouble::TakenOver | Trouble::Closed => !taken_over,
            Trouble::Tls(_) => self.tls < TLS_MAX,
        };
        let kind = if retry { ErrorKind::Unreachable } else { ErrorKind::Rejected };
        let mut doing = format!("keep the session {session}: {trouble}");
        if taken_over {
            doing.push_str(
                ", again and again: another client uses the same `client_id`, and the two throw \
                 each other out; give each its own",
            );
        }
        ConnectorError::new(kind, doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_taken_over_twice_is_not_tried_again() {
        let mut ends = Ends::default();
        let mut end = |trouble| ends.error(&trouble, Some(Duration::ZERO), "\"plant\"");
        assert!(end(Trouble::TakenOver).is_retryable());
        assert!(end(Trouble::gone()).is_retryable());
        assert!(end(Trouble::TakenOver).is_retryable());
        let error = end(Trouble::TakenOver);
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("another client uses the same `client_id`"), "{error}");
        assert!(error.to_string().contains("\"plant\""), "{error}");
    }

    #[test]
    fn closed_at_once_ten_times_is_the_same_without_a_word() {
        let mut ends = Ends::default();
        let mut end = |lived| ends.error(&Trouble::Closed, lived, "s").is_retryable();
        let quick = Some(Duration::from_secs(1));
        assert!((0..9).all(|_| end(quick)));
        assert!(end(Some(QUICK)), "this one lived");
        assert!((0..9).all(|_| end(quick)));
        assert!(end(None), "this one was not let in: the broker is away");
        assert!((0..9).all(|_| end(quick)));
        assert!(!end(quick));
    }

    #[test]
    fn certificates_get_three_tries() {
        let mut ends = Ends::default();
        let tls = || Trouble::Tls("unknown issuer".into());
        let mut end = |trouble| ends.error(&trouble, None, "s").is_retryable();
        assert!(end(tls()) && end(tls()));
        assert!(!end(tls()));
        assert!(end(Trouble::gone()));
        assert!(end(tls()));
    }
}
