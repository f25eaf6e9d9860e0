//! From what the client library reports to what becomes of the session.

use std::{collections::BTreeMap, fmt, time::Duration};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::time::Instant;

use super::settings::KafkaSettings;
use crate::error::{ConnectorError, ErrorKind};

/// Equal errors of encryption after which no further try is worth it.
const TLS_ERRORS_MAX: u32 = 3;

/// A sentence of the client library as a cause.
#[derive(Debug)]
pub(super) struct Said(pub(super) String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// Counts what is not decided by one error.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Refused log-ins, and when the first came.
    log_ins: Option<(Instant, u32)>,
    /// Errors of encryption by their text.
    tls: BTreeMap<String, u32>,
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
            Code::Authentication | Code::SaslAuthenticationFailed => self.log_in(reason, settings),
            Code::SSL => self.tls(reason),
            Code::AllBrokersDown => Verdict::Over(self.unreachable(settings, reason)),
            Code::Fatal => {
                let doing = "go on with a client that has broken";
                Verdict::Over(retryable(doing).because(Said(reason.to_owned())))
            }
            Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => {
                self.last = Some(reason.to_owned());
                Verdict::GoesOn
            }
            _ => Verdict::GoesOn,
        }
    }

    /// A broker answered: what was counted has mended.
    pub(super) fn answered(&mut self) {
        *self = Self { answered: true, ..Self::default() };
    }

    /// Whether log-ins are being refused, so that a session should wait for the verdict.
    pub(super) fn is_undecided(&self) -> bool {
        self.log_ins.is_some() || !self.tls.is_empty()
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

    fn log_in(&mut self, reason: &str, settings: &KafkaSettings) -> Verdict {
        let now = Instant::now();
        let (first, count) = self.log_ins.get_or_insert((now, 0));
        *count += 1;
        let patience = Duration::from_secs(settings.auth_give_up_secs);
        let (user, mechanism) = match &settings.sasl {
            Some(sasl) => (&*sasl.username, &*sasl.mechanism),
            None => ("(none)", "no mechanism"),
        };
        let doing = format!("log in as \"{user}\" with {mechanism}");
        if *count >= settings.auth_retries_max && now.duration_since(*first) >= patience {
            let error = ConnectorError::new(ErrorKind::Rejected, doing);
            return Verdict::Over(error.because(Said(reason.to_owned())));
        }
        Verdict::Trouble(format!("could not {doing}, try {count}: {reason}"))
    }

    fn tls(&mut self, reason: &str) -> Verdict {
        // The text begins with the broker's address and ends with times, which differ.
        let text = reason.split(": ").skip(1).collect::<Vec<_>>().join(": ");
        let text = text.split(" (after ").next().unwrap_or_default().to_owned();
        let count = self.tls.entry(text).or_default();
        *count += 1;
        if *count >= TLS_ERRORS_MAX {
            let error = ConnectorError::new(ErrorKind::Rejected, "agree on TLS with the brokers");
            return Verdict::Over(error.because(Said(reason.to_owned())));
        }
        Verdict::Trouble(format!("could not agree on TLS: {reason}"))
    }
}

/// An error that a further session may not meet.
pub(super) fn retryable(doing: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Unreachable, doing)
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
        let doing = "go on with a client that has broken";
        return Some(retryable(doing).because(Said(error.to_string())));
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
    use crate::kafka::settings::{KafkaSasl, KafkaTls};

    fn over(verdict: Verdict) -> ConnectorError {
        match verdict {
            Verdict::Over(error) => error,
            other => panic!("not over: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_log_in_is_final_after_its_tries_and_its_time() {
        let sasl = KafkaSasl {
            mechanism: "PLAIN".into(),
            username: "ann".into(),
            password: crate::kafka::Secret::new("hunter2"),
        };
        let settings = KafkaSettings { sasl: Some(sasl), ..KafkaSettings::default() };
        let mut trouble = Trouble::default();
        for _ in 0..7 {
            let verdict = trouble.judge(Code::Authentication, "no", &settings);
            assert!(matches!(verdict, Verdict::Trouble(_)), "30 s have not passed: {verdict:?}");
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        let error = over(trouble.judge(Code::Authentication, "no", &settings));
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), "could not log in as \"ann\" with PLAIN");
        trouble.answered();
        assert!(!trouble.is_undecided());
    }

    #[test]
    fn equal_tls_errors_are_final_and_an_unreachable_broker_is_not() {
        let settings = KafkaSettings { tls: Some(KafkaTls::default()), ..KafkaSettings::default() };
        let mut trouble = Trouble::default();
        for after in 0..2 {
            let reason = format!("ssl://a:1/1: certificate verify failed (after {after}ms)");
            assert!(matches!(trouble.judge(Code::SSL, &reason, &settings), Verdict::Trouble(_)));
        }
        let reason = "ssl://b:2/2: certificate verify failed (after 9ms)";
        assert!(!over(trouble.judge(Code::SSL, reason, &settings)).is_retryable());
        let down = over(trouble.judge(Code::AllBrokersDown, "1/1 brokers are down", &settings));
        assert!(down.is_retryable());
    }
}
