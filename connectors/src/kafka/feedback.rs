//! What twins send: an idempotent producer, confirmed by its delivery reports.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Statistics,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, NoCustomPartitioner, ProducerContext, ThreadedProducer},
};
use tokio::time::Instant;

use super::{
    heard::{Context, Heard},
    options,
    plan::Plan,
};
use crate::{
    backoff::Backoff,
    error::ConnectorError,
    link::{CAUSE, Confirmer, Feedback},
};

/// Name of the header with the stable id of a feedback message.
pub(super) const ID_HEADER: &str = "twinflow-id";
/// Name of the header with the topic, partition and offset of what caused it.
pub(super) const CAUSE_HEADER: &str = "twinflow-cause";
/// Name of the header with the model's name.
pub(super) const MODEL_HEADER: &str = "twinflow-model";

/// What the reports of one producer came to.
#[derive(Debug, Default)]
struct Fate {
    delivered: AtomicBool,
    broken: Mutex<Option<String>>,
}

/// Hears delivery reports, on the producer's own thread.
struct Reports {
    confirmer: Confirmer,
    heard: Arc<Heard>,
    fate: Arc<Fate>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        Context(Arc::clone(&self.heard)).log(level, fac, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // Of the brokers the consumer hears the same.
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            self.breaks(reason.to_owned());
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let Err((error, _)) = result else {
            self.fate.delivered.store(true, Ordering::Relaxed);
            return self.confirmer.sent(ticket as u64);
        };
        match refusal(error) {
            Some(why) => self.confirmer.give_up(ticket as u64, why),
            None => self.breaks(error.to_string()),
        }
    }
}

impl Reports {
    fn breaks(&self, reason: String) {
        self.fate.broken.lock().expect("only set and taken").get_or_insert(reason);
        self.heard.bell.notify_one();
    }
}

/// Why no broker will ever take this message, if that is so.
fn refusal(error: &KafkaError) -> Option<&'static str> {
    match error.rdkafka_error_code()? {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            Some("the brokers refuse it: it is larger than they allow")
        }
        Code::InvalidRecord => Some("the brokers refuse it: the topic does not take such records"),
        _ => None,
    }
}

type Producer = ThreadedProducer<Reports, NoCustomPartitioner>;

/// The way out of one session.
pub(super) struct Outlet {
    plan: Arc<Plan>,
    confirmer: Confirmer,
    heard: Arc<Heard>,
    fate: Arc<Fate>,
    producer: Option<Producer>,
    /// After it broke: when a new producer is made, and what was wrong.
    again: Option<(Instant, String)>,
    backoff: Backoff,
}

impl Outlet {
    pub(super) fn new(plan: &Arc<Plan>, confirmer: Confirmer, heard: &Arc<Heard>) -> Self {
        Self {
            plan: Arc::clone(plan),
            confirmer,
            heard: Arc::clone(heard),
            fate: Arc::default(),
            producer: None,
            again: None,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
        }
    }

    /// Sends a message; while the way out is broken it stays with the link.
    pub(super) fn send(&mut self, feedback: &Feedback) {
        let plan = Arc::clone(&self.plan);
        let Some(settings) = &plan.settings.feedback else {
            self.confirmer.give_up(feedback.ticket, "its connection has no topic for feedback");
            return;
        };
        if self.again.is_some() {
            return;
        }
        if let Err(error) = self.open() {
            return self.break_off(crate::error::chain(&error));
        }
        let Some(producer) = &self.producer else { return };
        let id = feedback.id.to_string();
        let text = |key, value| Header { key, value: Some(value) };
        let mut headers = OwnedHeaders::new_with_capacity(3)
            .insert(text(ID_HEADER, &id))
            .insert(text(MODEL_HEADER, &feedback.model));
        if let Some((_, cause)) = feedback.names.iter().find(|(name, _)| name == CAUSE) {
            headers = headers.insert(text(CAUSE_HEADER, cause));
        }
        let topic = settings.topic.replace("{model}", &feedback.model);
        let record = BaseRecord::with_opaque_to(&topic, feedback.ticket as usize)
            .key(feedback.twin.as_bytes())
            .payload(&feedback.payload)
            .headers(headers);
        if let Err((error, _)) = producer.send(record) {
            match refusal(&error) {
                Some(why) => self.confirmer.give_up(feedback.ticket, why),
                None => self.break_off(error.to_string()),
            }
        }
    }

    /// Looks after the way out: `Some(text)` while it is broken. `true`: it works anew, and
    /// everything unconfirmed must be handed out again.
    pub(super) fn keep(&mut self) -> (Option<&str>, bool) {
        let broken = self.fate.broken.lock().expect("only set and taken").take();
        if let Some(reason) = broken {
            self.break_off(reason);
        }
        let due = self.again.as_ref().is_some_and(|(when, _)| *when <= Instant::now());
        if due {
            self.again = None;
        }
        (self.again.as_ref().map(|(_, reason)| &**reason), due)
    }

    /// Drops the producer with what waits in it, in order that nothing overtakes what failed.
    fn break_off(&mut self, reason: String) {
        tracing::warn!(reason, "feedback could not be delivered, will be sent again");
        if self.fate.delivered.load(Ordering::Relaxed) {
            self.backoff.reset();
        }
        // What its end makes of the waiting ones is no news.
        self.fate = Arc::default();
        self.producer = None;
        let wait = self.backoff.next(0);
        self.again = Some((Instant::now() + wait, reason));
    }

    fn open(&mut self) -> Result<(), ConnectorError> {
        let Some(settings) =
            self.plan.settings.feedback.as_ref().filter(|_| self.producer.is_none())
        else {
            return Ok(());
        };
        let reports = Reports {
            confirmer: self.confirmer.clone(),
            heard: Arc::clone(&self.heard),
            fate: Arc::clone(&self.fate),
        };
        let config = options::producer(&self.plan.settings, settings);
        let producer = Producer::from_config_and_context(&config, reports);
        let producer = producer.map_err(|error| {
            super::plan::misconfigured("make a producer for feedback").because(error)
        })?;
        self.producer = Some(producer);
        Ok(())
    }
}
