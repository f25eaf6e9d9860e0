//! MQTT: subscribes at a broker, acknowledges what is committed, publishes commands.
//!
//! [`Mqtt`] is one connection to any broker that speaks MQTT 5 or 3.1.1. A session has two clients:
//! one takes messages in a session that the broker keeps, one sends commands. A message is
//! acknowledged, in the order of arrival, when its epoch is committed; what was not is delivered
//! again by the broker after a reconnect. Every session makes new clients, so that no packet id and
//! no acknowledgement of an earlier one can reach a later one.
//!
//! Reading order: this file, `mqtt/session.rs`, `mqtt/inbox.rs`, `mqtt/rows.rs`,
//! `mqtt/commands.rs`; then `mqtt/client.rs` for the wire and `mqtt/settings.rs`, `mqtt/plan.rs`,
//! `mqtt/template.rs` for what the user writes.

mod client;
mod commands;
#[cfg(feature = "testing")]
mod fuzz;
mod inbox;
mod plan;
mod rows;
mod session;
mod settings;
mod template;
mod tls;
mod trouble;

use std::{fmt, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

#[cfg(feature = "testing")]
pub(crate) use fuzz::TARGETS;
pub use settings::{
    MqttDedupe, MqttFeedback, MqttIdPlace, MqttLastWill, MqttProtocol, MqttRetained, MqttSameId,
    MqttSettings, MqttTls, MqttTopic, MqttTwinId,
};

use self::{
    client::{Client, ClientEvent, Credentials, Options, Publication, Role, V5, V311},
    commands::Commands,
    plan::Plan,
    session::{End, GOODBYE, Session, closed},
    trouble::{Ends, Trouble},
};
use crate::{
    connector::{
        ConfigurableConnector, Connector, ConnectorAbout, ConnectorInfo, Guarantee, Reached,
    },
    error::ConnectorError,
    link::{Condition, Link, Reporter},
};

/// An MQTT connection.
///
/// ```
/// use twinflow_connectors::{ConfigurableConnector, mqtt::{Mqtt, MqttSettings, MqttTopic}};
///
/// let plant = Mqtt::from_settings(MqttSettings {
///     url: "mqtt://127.0.0.1:1883".into(),
///     client_id: "twinflow-plant".into(),
///     topics: vec![MqttTopic {
///         topic: "plant/{site}/{twin}/telemetry".into(),
///         model: Some("turbines".into()),
///         qos: None,
///     }],
///     ..MqttSettings::default()
/// });
/// // `plant?` goes into `Engine::builder().connection("plant", ..)`.
/// assert!(plant.is_ok());
/// ```
pub struct Mqtt {
    plan: Plan,
    ends: Ends,
    /// When the last session that was up ended.
    last: Option<Instant>,
}

impl fmt::Debug for Mqtt {
    /// The path of a password's file may be shown, and the password is not kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mqtt").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Mqtt {
    fn options(
        &self,
        role: Role,
        credentials: Option<Credentials>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Options {
        let plan = &self.plan;
        let is_intake = matches!(role, Role::Intake { .. });
        let client_id = match role {
            Role::Intake { .. } => plan.client_id.clone(),
            Role::Commands { .. } => format!("{}-commands", plan.client_id),
        };
        let last_will = plan.last_will.as_ref().filter(|_| is_intake);
        let last_will = last_will.map(|will| Publication::status(&will.topic, &will.offline));
        Options {
            host: plan.host.clone(),
            port: plan.port,
            tls,
            client_id,
            credentials,
            keep_alive_secs: plan.keep_alive_secs,
            connect_timeout_secs: plan.connect_timeout_secs,
            packet_bytes_max: plan.packet_bytes_max,
            role,
            last_will,
        }
    }

    /// Logs in under another client id, so that nobody's session is taken over, and leaves.
    async fn reach_by<C: Client>(&self) -> Result<Reached, ConnectorError> {
        let credentials = self.plan.credentials()?;
        let tls = self.plan.tls.as_ref().map(tls::config).transpose()?;
        let options = self.options(Role::Commands { in_flight_max: 1 }, credentials, tls);
        let client_id = format!("{}-reach", self.plan.client_id);
        let mut client = C::connect(&Options { client_id, ..options });
        let mut events = Vec::new();
        let limit = Duration::from_secs(self.plan.connect_timeout_secs.into());
        let connected = timeout(limit, async {
            loop {
                client.next(&mut events).await?;
                if events.iter().any(|it| matches!(it, ClientEvent::Connected { .. })) {
                    return Ok(());
                }
            }
        });
        let late = |_elapsed| Trouble::Lost(format!("no answer within {} s", limit.as_secs()));
        let trouble = match connected.await.map_err(late) {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) | Err(trouble) => Some(trouble),
        };
        if let Some(trouble) = trouble {
            let session = format!("\"{}\" with {}", self.plan.client_id, self.plan.address());
            return Err(self.ends.clone().error(&trouble, None, &session));
        }
        if client.close().is_ok() {
            let goodbye =
                async { while client.next(&mut events).await.is_ok() && !closed(&mut events) {} };
            let _or_without_it = timeout(GOODBYE, goodbye).await.is_err();
        }
        Ok(Reached { asked: true, ..Reached::default() })
    }

    async fn session<C: Client>(&mut self, link: Link) -> Result<(), ConnectorError> {
        let credentials = self.plan.credentials()?;
        let tls = self.plan.tls.as_ref().map(tls::config).transpose()?;
        let (receive_max, session_expiry_secs) =
            (self.plan.receive_max, self.plan.session_expiry_secs);
        let role = Role::Intake { receive_max, session_expiry_secs };
        let client = C::connect(&self.options(role, credentials.clone(), tls.clone()));
        let reporter = link.events.reporter();
        let address = self.plan.address();
        reporter.condition(Condition::Connecting(format!("waits for {address} to take it in")));
        let commands = self.plan.feedback.as_ref().map(|feedback| {
            let role = Role::Commands { in_flight_max: feedback.in_flight_max };
            let client = C::connect(&self.options(role, credentials, tls));
            Commands::new(client, feedback, link.events.confirmer())
        });
        let mut session = Session::new(&self.plan, client, commands, reporter, self.last);
        let end = session.run(link).await;
        let lived = session.since.map(|since| since.elapsed());
        drop(session);
        if lived.is_some() {
            self.last = Some(Instant::now());
        }
        match end {
            End::Stopped => Ok(()),
            End::Link(error) => Err(error),
            End::Trouble(trouble) => {
                let session = format!("\"{}\" with {address}", self.plan.client_id);
                Err(self.ends.error(&trouble, lived, &session))
            }
        }
    }
}

impl Connector for Mqtt {
    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            format: self.plan.format,
            answers: false,
            dedupe_keep_secs: self.plan.dedupe.as_ref().map(|(_, keep_secs)| *keep_secs),
            guarantee: Guarantee::AtLeastOnce,
            feedback_expiry_secs: Some(self.plan.feedback_expiry_secs),
            drain_timeout_ms: None,
        }
    }

    fn about(&self) -> ConnectorAbout {
        ConnectorAbout { kind: Self::TYPE, address: Some(self.plan.address()) }
    }

    fn prepare(&mut self) -> Result<(), ConnectorError> {
        self.plan.credentials()?;
        if let Some(tls) = &self.plan.tls {
            tls::config(tls)?;
        }
        Ok(())
    }

    async fn reach(&mut self) -> Result<Reached, ConnectorError> {
        match self.plan.protocol {
            MqttProtocol::V5 => self.reach_by::<V5>().await,
            MqttProtocol::V311 => self.reach_by::<V311>().await,
        }
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        match self.plan.protocol {
            MqttProtocol::V5 => self.session::<V5>(link).await,
            MqttProtocol::V311 => self.session::<V311>(link).await,
        }
    }
}

impl ConfigurableConnector for Mqtt {
    const TYPE: &'static str = "mqtt";
    const ABOUT: &'static str =
        "MQTT 5 and 3.1.1: subscribes at a broker, acknowledges after the commit, sends commands";
    type Settings = MqttSettings;

    fn from_settings(settings: MqttSettings) -> Result<Self, ConnectorError> {
        if settings.qos == 2 || settings.topics.iter().any(|topic| topic.qos == Some(2)) {
            tracing::warn!(
                "qos = 2 is taken as 1: messages come at least once, and with `dedupe` \
                            each is applied once"
            );
        }
        let plan = Plan::new(settings)?;
        Ok(Self { plan, ends: Ends::default(), last: None })
    }
}

/// What is said of a session that the broker did not have.
fn session_lost(reporter: &Reporter, client_id: &str, last: Option<Instant>) {
    let Some(last) = last else {
        tracing::info!(client_id, "the broker had no session for this client: it begins one");
        return;
    };
    let seconds = last.elapsed().as_secs();
    let note = format!(
        "the broker had lost our session: messages may be missing since {seconds} s before the \
         reconnect"
    );
    tracing::warn!(client_id, seconds, "the broker had lost our session: messages may be missing");
    reporter.session_lost(note);
}
