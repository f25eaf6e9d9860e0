//! What the client library says beside records: errors, figures, log lines.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    topic_partition_list::TopicPartitionList,
};
use tokio::sync::Notify;

/// Errors that wait for the session at most; the newest say what the oldest said.
const WAITING_MAX: usize = 64;

/// What the session has to look at.
#[derive(Debug, Default)]
pub(super) struct Heard {
    state: Mutex<Waiting>,
    /// Counts callbacks: the client's poll says nothing of an event that it served by one.
    served: AtomicU64,
    /// Counts answers to commits.
    commits: AtomicU64,
    /// Rings when there is something: records, errors, failed feedback.
    pub(super) bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    errors: Vec<(RDKafkaErrorCode, String)>,
    statistics: Option<Box<Statistics>>,
    commit: Option<KafkaError>,
}

impl Heard {
    /// How many events were served by callbacks.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// How many commits were answered.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut state = self.state.lock().expect("only pushed and taken");
        if state.errors.len() == WAITING_MAX {
            state.errors.remove(0);
        }
        state.errors.push((code, reason.to_owned()));
        drop(state);
        self.bell.notify_one();
    }

    pub(super) fn take_errors(&self) -> Vec<(RDKafkaErrorCode, String)> {
        std::mem::take(&mut self.state.lock().expect("only pushed and taken").errors)
    }

    pub(super) fn take_statistics(&self) -> Option<Box<Statistics>> {
        self.state.lock().expect("only pushed and taken").statistics.take()
    }

    pub(super) fn take_commit_error(&self) -> Option<KafkaError> {
        self.state.lock().expect("only pushed and taken").commit.take()
    }
}

/// The context of both clients.
#[derive(Clone, Debug)]
pub(super) struct Context(pub(super) Arc<Heard>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        // What matters comes as an error too, and is told once with the connection's state.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(target: "librdkafka", fac, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", fac, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        let mut state = self.0.state.lock().expect("only pushed and taken");
        state.statistics = Some(Box::new(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.error(code, reason);
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        self.0.served.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result {
            let mut state = self.0.state.lock().expect("only pushed and taken");
            state.commit = Some(error);
        }
    }
}
