//! Turbines over MQTT: telemetry in, commands out.
//!
//! Start first: a broker on 127.0.0.1:1883 that lets everybody in, for example
//! `mosquitto -p 1883`. Then `cargo run --features mqtt --example mqtt`, publish a reading, and
//! watch the command:
//!
//! ```sh
//! mosquitto_sub -t 'plant/+/+/command' -v &
//! mosquitto_pub -q 1 -t plant/7/turbine-42/telemetry -m '{"bearing_celsius": 96}'
//! ```
//!
//! Stop it with Enter, or kill it, and start it again: what was published meanwhile comes then.

use serde::{Deserialize, Serialize};
use twinflow::{
    Engine,
    connectors::{
        ConfigurableConnector,
        mqtt::{Mqtt, MqttFeedback, MqttSettings, MqttTopic},
    },
    prelude::*,
};

const LIMIT_CELSIUS: f64 = 95.0;

/// What is known of one turbine.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Turbine {
    readings: u64,
    hottest_celsius: f64,
}

/// A reading of one turbine.
#[derive(Deserialize)]
struct Reading {
    bearing_celsius: f64,
}

impl TwinModel for Turbine {
    type Message<'m> = Reading;
}

/// Brakes a turbine whose bearing is too hot.
struct Watch;

impl MessageProcessor for Watch {
    type Model = Turbine;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        turbine: &mut Turbine,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        for reading in readings {
            turbine.readings += 1;
            turbine.hottest_celsius = turbine.hottest_celsius.max(reading.bearing_celsius);
            if reading.bearing_celsius > LIMIT_CELSIUS {
                cx.send_to_data_source(&"brake")?;
            }
        }
        Ok(Outcome::Update)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plant = Mqtt::from_settings(MqttSettings {
        url: "mqtt://127.0.0.1:1883".into(),
        client_id: "twinflow-example".into(),
        topics: vec![MqttTopic {
            topic: "plant/{site}/{twin}/telemetry".into(),
            model: Some("turbines".into()),
            qos: None,
        }],
        feedback: Some(MqttFeedback {
            topic: "plant/{site}/{twin}/command".into(),
            ..MqttFeedback::default()
        }),
        ..MqttSettings::default()
    })?;
    let folder = std::env::temp_dir().join("twinflow-example-mqtt");
    let engine = Engine::builder()
        .state_dir(folder)
        .model("turbines", Watch)
        .connection("plant", plant)
        .start()?;
    std::io::stdin().read_line(&mut String::new())?;
    engine.stop()?;
    Ok(())
}
