//! The half of the devices that speaks MQTT 5, in a build with `demo-broker`.
//!
//! A broker runs in this process, and the engine is one of its clients: with a name of its own and
//! a session that the broker keeps, so that what devices publish while the engine is dead waits for
//! the next one. A device hears from the broker that it took a message, never what became of it.
//! So its log is compared with its twin only when everything is drained, and of the messages that
//! it spoiled the engine has to show the dead letters.
//!
//! Reading order: this file, `mqtt/broker.rs`, `mqtt/line.rs` with `mqtt/wire.rs`,
//! `mqtt/letters.rs`.

mod broker;
mod letters;
mod line;
mod wire;

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::time::Instant;

pub(super) use self::{broker::start, letters::confirm, line::spawn_lines};

use super::{check::Reader, engine::KEYS_KEEP_SECS};
use crate::{
    EngineBuilder,
    connectors::{
        ConfigurableConnector,
        mqtt::{Mqtt, MqttDedupe, MqttFeedback, MqttSettings, MqttTopic},
    },
    error::{Error, ErrorKind, Result},
};

/// The engine's connection to the broker.
const CONNECTION: &str = "plant";
/// How long the engine may take until the broker keeps messages for it.
const LISTEN_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Adds the connection to this broker.
pub(super) fn connect(builder: EngineBuilder, broker: SocketAddr) -> Result<EngineBuilder> {
    let telemetry =
        MqttTopic { topic: "demo/{model}/{twin}/telemetry".into(), model: None, qos: None };
    let command =
        MqttFeedback { topic: "demo/{model}/{twin}/command".into(), ..MqttFeedback::default() };
    // A device sends a message again when it does not know whether the broker has it, and the
    // broker does when it does not know whether the engine has it.
    let number =
        MqttDedupe { json: Some("/number".into()), keep_secs: KEYS_KEEP_SECS, user_property: None };
    let settings = MqttSettings {
        url: format!("mqtt://{broker}"),
        client_id: "twinflow-demo".into(),
        topics: vec![telemetry],
        dedupe: Some(number),
        feedback: Some(command),
        ..MqttSettings::default()
    };
    let mqtt = Mqtt::from_settings(settings).map_err(|error| {
        Error::new(ErrorKind::Broken, "could not set up the connection to the broker")
            .because(error)
    })?;
    Ok(builder.connection(CONNECTION, mqtt))
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

/// Waits until the broker keeps messages for the engine: what is published before is for nobody.
pub(super) async fn engine_listens(address: SocketAddr) -> Result<()> {
    let until = Instant::now() + LISTEN_LIMIT;
    let mut reader = Reader::new(address, until);
    let mut last = String::new();
    while Instant::now() < until {
        let status = reader.read(&format!("/v1/connections/{CONNECTION}")).await;
        let status: Option<Status> = status.map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "could not ask the engine for its connection")
                .because(cause)
        })?;
        last = status.map(|status| status.state).unwrap_or_default();
        if last == "running" {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let what = format!("the engine did not reach the broker within {LISTEN_LIMIT:?}: it is {last}");
    Err(Error::new(ErrorKind::Unavailable, what))
}
