//! Kafka: topics in, commands out; exactly once on state, because offsets travel with the rows.
//!
//! [`Kafka`] is one connection, each of its slots a consumer with a thread of its own. Partitions
//! are assigned by hand: where a session begins is decided by the positions that the link knows
//! (laws S2, D3), never by the brokers. The group's offset is committed for monitoring only.
//!
//! Reading order: this file, `kafka/session.rs`, `kafka/assign.rs`, `kafka/partitions.rs`,
//! `kafka/record.rs`; then `kafka/feedback.rs` for what twins send, `kafka/offsets.rs` for what
//! the brokers are told, and `kafka/trouble.rs` for what errors mean.

mod assign;
mod feedback;
mod heard;
mod offsets;
mod options;
mod partitions;
mod plan;
mod reach;
mod record;
mod secret;
mod session;
mod settings;
mod trouble;

use std::sync::Arc;

use tokio::sync::oneshot;

pub use secret::Secret;
pub use settings::{
    KafkaDedupe, KafkaFeedback, KafkaIdPlace, KafkaIsolation, KafkaSasl, KafkaSettings, KafkaStart,
    KafkaTls, KafkaTopic, KafkaTwinId,
};

use self::{assign::Begun, plan::Plan};
use crate::{
    connector::{
        ConfigurableConnector, Connector, ConnectorAbout, ConnectorInfo, Guarantee, Reached,
    },
    error::{ConnectorError, ErrorKind},
    link::Link,
};

/// A Kafka connection.
///
/// ```no_run
/// use twinflow_connectors::kafka::Kafka;
///
/// let readings = Kafka::brokers(["127.0.0.1:9092"])
///     .topic("readings", "pumps")
///     .feedback("commands");
/// // `readings.connect()?` goes into `Engine::builder().connection("plant", ...)`.
/// ```
#[derive(Clone, Debug)]
pub struct Kafka {
    plan: Arc<Plan>,
    begun: Begun,
}

/// A Kafka connection in the making.
#[derive(Clone, Debug, Default)]
pub struct KafkaBuilder(KafkaSettings);

impl Kafka {
    /// A connection to these brokers; others are learned from them.
    pub fn brokers(brokers: impl IntoIterator<Item = impl Into<String>>) -> KafkaBuilder {
        let brokers = brokers.into_iter().map(Into::into).collect();
        KafkaBuilder(KafkaSettings { brokers, ..KafkaSettings::default() })
    }
}

impl KafkaBuilder {
    /// Reads a topic whose records are for twins of `model`.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>, model: impl Into<String>) -> Self {
        let topic = KafkaTopic { topic: topic.into(), model: Some(model.into()), twin_id: None };
        self.with(|settings| settings.topics.push(topic))
    }

    /// Writes feedback of twins to a topic.
    #[must_use]
    pub fn feedback(self, topic: impl Into<String>) -> Self {
        let feedback = KafkaFeedback { topic: topic.into(), ..KafkaFeedback::default() };
        self.with(|settings| settings.feedback = Some(feedback))
    }

    /// Changes any setting.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut KafkaSettings)) -> Self {
        change(&mut self.0);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`] with the sentence that names the wrong one.
    pub fn connect(self) -> Result<Kafka, ConnectorError> {
        Kafka::from_settings(self.0)
    }
}

impl Connector for Kafka {
    fn slots(&self, _workers: usize) -> usize {
        self.plan.settings.connections
    }

    fn for_slot(&mut self, _number: usize) -> Option<Self> {
        Some(self.clone())
    }

    fn about(&self) -> ConnectorAbout {
        let address = Some(self.plan.settings.brokers.join(", "));
        ConnectorAbout { kind: Self::TYPE, address }
    }

    fn info(&self) -> ConnectorInfo {
        let settings = &self.plan.settings;
        ConnectorInfo {
            format: settings.decoder,
            dedupe_keep_secs: settings.dedupe.as_ref().map(|dedupe| dedupe.keep_secs),
            guarantee: Self::GUARANTEE,
            feedback_expiry_secs: Some(settings.feedback_expiry_secs),
            ..ConnectorInfo::default()
        }
    }

    async fn reach(&mut self) -> Result<Reached, ConnectorError> {
        let plan = Arc::clone(&self.plan);
        let (tell, told) = oneshot::channel();
        let thread = move || {
            let (reached, client) = reach::reach(&plan);
            // Whoever asked may have gone.
            let _nobody = tell.send(reached).is_err();
            drop(client);
        };
        std::thread::Builder::new().name("kafka:reach".into()).spawn(thread).map_err(|error| {
            ConnectorError::new(ErrorKind::Unreachable, "start a thread").because(error)
        })?;
        told.await.unwrap_or_else(|_gone| {
            Err(ConnectorError::new(ErrorKind::Rejected, "ask: the thread panicked"))
        })
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        let (plan, begun) = (Arc::clone(&self.plan), Arc::clone(&self.begun));
        // Dropped with this future: a session that was cut off ends too.
        let (_waits, gone) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let (number, _) = link.intake.slot_number();
        let name = format!("kafka:{}:{number}", link.intake.connection());
        let thread = move || session::run(plan, begun, link, gone, tell);
        std::thread::Builder::new().name(name).spawn(thread).map_err(|error| {
            ConnectorError::new(ErrorKind::Unreachable, "start a thread").because(error)
        })?;
        told.await.unwrap_or_else(|_gone| {
            let doing = "keep the session: its thread panicked";
            Err(ConnectorError::new(ErrorKind::Rejected, doing))
        })
    }
}

impl ConfigurableConnector for Kafka {
    const TYPE: &'static str = "kafka";
    const ABOUT: &'static str = "Kafka topics in, feedback to a topic; offsets kept with the state";
    const GUARANTEE: Guarantee = Guarantee::ExactlyOnce;
    type Settings = KafkaSettings;

    fn from_settings(settings: KafkaSettings) -> Result<Self, ConnectorError> {
        Ok(Self { plan: Arc::new(Plan::new(settings)?), begun: Begun::default() })
    }
}
