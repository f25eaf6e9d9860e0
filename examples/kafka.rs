//! Pumps over Kafka: readings in, commands out.
//!
//! Start first: a broker on 127.0.0.1:9092 with the topics `readings` and `commands`, for example
//! with Kafka's own tools:
//!
//! ```sh
//! bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic readings
//! bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic commands
//! ```
//!
//! Then `cargo run --features kafka --example kafka`, write a reading, and watch the command:
//!
//! ```sh
//! echo 'pump-17:{"celsius": 96}' | bin/kafka-console-producer.sh \
//!     --bootstrap-server 127.0.0.1:9092 --topic readings \
//!     --reader-property parse.key=true --reader-property key.separator=:
//! bin/kafka-console-consumer.sh --bootstrap-server 127.0.0.1:9092 --topic commands \
//!     --from-beginning --formatter-property print.key=true
//! ```
//!
//! Stop it with Enter, or kill it, and start it again: it goes on behind the last reading that it
//! applied.

#![expect(clippy::print_stdout, reason = "an example says what it does")]

use serde::{Deserialize, Serialize};
use twinflow::{Engine, connectors::kafka::Kafka, prelude::*};

/// What is known of one pump.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Pump {
    readings: u64,
    hottest: f64,
}

/// A reading of one pump.
#[derive(Deserialize)]
struct Reading {
    celsius: f64,
}

impl TwinModel for Pump {
    type Message<'m> = Reading;
}

/// Stops a pump above its limit.
struct Watch {
    limit: f64,
}

impl MessageProcessor for Watch {
    type Model = Pump;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        pump: &mut Pump,
        readings: Messages<'_, Reading>,
    ) -> ProcessingResult {
        for reading in readings {
            pump.readings += 1;
            pump.hottest = pump.hottest.max(reading.celsius);
            if reading.celsius > self.limit {
                cx.send_to_data_source(&"stop")?;
            }
        }
        Ok(Outcome::Update)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plant = Kafka::brokers(["127.0.0.1:9092"]).topic("readings", "pumps").feedback("commands");
    let engine = Engine::builder()
        .state_dir("state")
        .model("pumps", Watch { limit: 95.0 })
        .connection("plant", plant.connect()?)
        .start()?;
    println!("reads \"readings\" and writes \"commands\"; Enter stops it");
    std::io::stdin().read_line(&mut String::new())?;
    engine.stop()?;
    Ok(())
}
