//! From what the client library reports to what becomes of the session.

use std::{fmt, time::Duration};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::time::Instant;

use super::settings::KafkaSettings;
use crate::error::{ConnectorError, ErrorKind};

/// How long errors of encryption are watched, before they are final: some four tries. The client
/// says an error again only after half a minute, so that time has to do for a count.
const TLS_PATIENCE: Duration = Duration::from_secs(5);

/// A sentence of the client library as a cause.
#[derive(Debug)]
pub(super) struct Said(pub(super) String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// Watches what is not decided by one error.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// A log-in was refused: since when, and the newest reason.
    log_in: Option<(Instant, String)>,
    /// The same of encryption.
    tls: Option<(Instant, String)>,
    /// The newest reason why a broker could not be reached.
    last: Option<String>,
    /// Whether a broker has answered in this session.
    answered: bool,
}

/// What an error that concerns the whole client means.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The client deals with it.
    GoesOn,
    /// What a person should see while it goes on.
    Trouble(String),
    /// The session is over.
    Over(ConnectorError),
}

impl Trouble {
    /// Judges an error of the client as a whole.
    pub(super) fn judge(&mut self, code: Code, reason: &str, settings: &KafkaSettings) -> Verdict {
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed => {
                watch(&mut self.log_in, reason);
                Verdict::Trouble(format!("could not {}: {reason}", log_in(settings)))
            }
            Code::SSL => {
                watch(&mut self.tls, reason);
                Verdict::Trouble(format!("could not agree on TLS: {reason}"))
            }
            // The client tries again, and that, or the time to connect, decides.
            Code::AllBrokersDown if self.is_undecided() || !self.answered => Verdict::GoesOn,
            Code::AllBrokersDown => Verdict::Over(self.unreachable(settings, reason)),
            Code::Fatal => Verdict::Over(broken().because(Said(reason.to_owned()))),
            Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => {
                self.last = Some(reason.to_owned());
                Verdict::GoesOn
            }
            _ => Verdict::GoesOn,
        }
    }

    /// A broker answered: what was watched has mended.
    pub(super) fn answered(&mut self) {
        *self = Self { answered: true, ..Self::default() };
    }

    /// Whether something is watched, so that a session should wait for the verdict.
    pub(super) fn is_undecided(&self) -> bool {
        self.log_in.is_some() || self.tls.is_some()
    }

    /// The end of what was watched for long enough without an answer in between.
    pub(super) fn overdue(&self, settings: &KafkaSettings) -> Option<ConnectorError> {
        let now = Instant::now();
        let rejected = |doing: String, reason: &str| {
            ConnectorError::new(ErrorKind::Rejected, doing).because(Said(reason.to_owned()))
        };
        let patience = Duration::from_secs(settings.auth_give_up_secs);
        if let Some((since, reason)) = &self.log_in
            && now.duration_since(*since) >= patience
        {
            return Some(rejected(log_in(settings), reason));
        }
        let (since, reason) = self.tls.as_ref()?;
        let late = now.duration_since(*since) >= TLS_PATIENCE;
        late.then(|| rejected("agree on TLS with the brokers".to_owned(), reason))
    }

    /// No broker can be reached.
    pub(super) fn unreachable(&self, settings: &KafkaSettings, else_: &str) -> ConnectorError {
        let brokers = settings.brokers.join(", ");
        let hint = match settings.tls.is_some() || self.answered {
            false => " (if that port speaks TLS, the connection needs `tls = {}`)",
            true => "",
        };
        let text = self.last.clone().unwrap_or_else(|| else_.to_owned());
        retryable(format!("reach a broker of {brokers}{hint}")).because(Said(text))
    }
}

fn watch(watched: &mut Option<(Instant, String)>, reason: &str) {
    let (_, newest) = watched.get_or_insert_with(|| (Instant::now(), String::new()));
    reason.clone_into(newest);
}

/// What is attempted, as it follows "could not".
fn log_in(settings: &KafkaSettings) -> String {
    match &settings.sasl {
        Some(sasl) => format!("log in as \"{}\" with {}", sasl.username, sasl.mechanism),
        None => "log in without a user (the brokers want one: see `sasl`)".to_owned(),
    }
}

/// An error that a further session may not meet.
pub(super) fn retryable(doing: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Unreachable, doing)
}

/// The client has broken for good; a new one may do.
pub(super) fn broken() -> ConnectorError {
    retryable("go on with a client that has broken")
}

/// What an error of one topic or partition means for the session; `None`: it goes on, and the
/// text is shown meanwhile.
pub(super) fn of_topic(
    topic: &str,
    partition: Option<i32>,
    error: &KafkaError,
) -> Option<ConnectorError> {
    let place = match partition {
        Some(partition) => format!("partition {partition} of topic \"{topic}\""),
        None => format!("topic \"{topic}\""),
    };
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Some(broken().because(Said(error.to_string())));
    }
    let said = Said(error.to_string());
    match error.rdkafka_error_code()? {
        Code::TopicAuthorizationFailed => {
            let doing =
                format!("read {place}: the user lacks the right to read it (READ, DESCRIBE)");
            Some(ConnectorError::new(ErrorKind::Rejected, doing).because(said))
        }
        // The positions are compared with the log at the start of a session.
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Some(retryable(format!("go on in {place}: its log lacks our position")).because(said))
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Some(retryable(format!("read {place}: it has gone")).because(said))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::settings::KafkaSasl;

    #[tokio::test(start_paused = true)]
    async fn a_refused_log_in_is_final_after_its_time_unless_a_broker_answered() {
        let sasl = KafkaSasl {
            mechanism: "PLAIN".into(),
            username: "ann".into(),
            password: crate::kafka::Secret::new("hunter2"),
        };
        let settings = KafkaSettings { sasl: Some(sasl), ..KafkaSettings::default() };
        let mut trouble = Trouble::default();
        for _ in 0..2 {
            let verdict = trouble.judge(Code::Authentication, "no", &settings);
            assert!(matches!(verdict, Verdict::Trouble(_)), "tokens rotate: {verdict:?}");
            tokio::time::advance(Duration::from_secs(29)).await;
            assert!(trouble.overdue(&settings).is_none() && trouble.is_undecided());
            trouble.answered();
        }
        assert!(!trouble.is_undecided());
        trouble.judge(Code::Authentication, "no", &settings);
        let down = trouble.judge(Code::AllBrokersDown, "1/1 brokers are down", &settings);
        assert!(matches!(down, Verdict::GoesOn), "the client tries again: {down:?}");
        tokio::time::advance(Duration::from_secs(30)).await;
        let error = trouble.overdue(&settings).unwrap();
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), "could not log in as \"ann\" with PLAIN");
    }

    #[tokio::test(start_paused = true)]
    async fn errors_of_tls_are_final_and_an_unreachable_broker_is_not() {
        let settings = KafkaSettings::default();
        let mut trouble = Trouble::default();
        trouble.judge(Code::SSL, "ssl://a:1/1: certificate verify failed", &settings);
        tokio::time::advance(TLS_PATIENCE).await;
        assert!(!trouble.overdue(&settings).unwrap().is_retryable());
        let mut trouble = Trouble::default();
        let down = trouble.judge(Code::AllBrokersDown, "down", &settings);
        assert!(matches!(down, Verdict::GoesOn), "it has just begun: {down:?}");
        trouble.answered();
        let Verdict::Over(down) = trouble.judge(Code::AllBrokersDown, "down", &settings) else {
            panic!("no broker is left")
        };
        assert!(down.is_retryable());
    }
}
