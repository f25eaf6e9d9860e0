//! MQTT: a session with the records of a data set, and the bare client that drains it.
//!
//! Estimate: the broker is one thread and gives 80,000-150,000 messages a second; the client costs
//! 5-10 us of a core a message, most of it the system call that an acknowledgement is. W1 adds
//! 0.4 us to the bare client's thread, and 0.2 us more to the engine's worker. So the broker sets
//! the rate of both.
//!
//! It needs a Mosquitto whose window is not smaller than the receive maximum and that queues all:
//! `max_inflight_messages 1000`, `max_queued_messages 0`, `set_tcp_nodelay true`.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::runtime::Runtime;
use twinflow::connectors::ConfigurableConnector;
use twinflow::connectors::message::Format;
use twinflow::connectors::mqtt::{Mqtt, MqttSettings, MqttTopic};

use super::side::Broker;
use crate::Result;
use crate::args::Options;
use crate::check::Check;
use crate::data::DataSet;
use crate::engine::Twinflow;
use crate::limit::{Counting, Twins};
use crate::meter::{Meter, Usage};
use crate::rest::MODEL;

/// The session of either side, and what both subscribe to.
const CLIENT: &str = "twinflow-bench";
const FILTER: &str = "bench/+/telemetry";
/// Publications on their way while the session is filled.
const FILL_WINDOW: u16 = 1000;

/// Where the broker is and how much it may send ahead.
#[derive(Clone, Debug)]
pub struct Session {
    /// Host of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Messages that may be unacknowledged.
    pub receive_max: u16,
}

impl Session {
    /// The session of a run of W1.
    pub(super) fn of(options: &Options) -> Self {
        let broker = options.broker.as_deref().unwrap_or("127.0.0.1:18830");
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "1883"));
        Self { host: host.into(), port: port.parse().unwrap_or(1883), receive_max: 1000 }
    }

    fn client(&self, id: &str) -> MqttOptions {
        let mut options = MqttOptions::new(id, self.host.as_str(), self.port);
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(Some(4 << 20));
        options
    }

    /// What both sides drain.
    fn session(&self) -> MqttOptions {
        let mut options = self.client(CLIENT);
        options.set_clean_start(false).set_manual_acks(true);
        options.set_session_expiry_interval(Some(3600)).set_receive_maximum(Some(self.receive_max));
        options
    }

    /// Makes the session anew and fills it with these twins and payloads.
    ///
    /// # Errors
    ///
    /// Those of the client.
    pub async fn fill(&self, messages: impl Iterator<Item = (String, Vec<u8>)>) -> Result<()> {
        let mut anew = self.session();
        anew.set_clean_start(true);
        let (requests, mut events) = AsyncClient::new(anew, 8);
        requests.subscribe(FILTER, QoS::AtLeastOnce).await?;
        while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
        goodbye(&requests, &mut events).await?;

        let mut writer = self.client("twinflow-bench-writer");
        writer.set_outgoing_inflight_upper_limit(FILL_WINDOW);
        let (requests, mut events) = AsyncClient::new(writer, usize::from(FILL_WINDOW) * 2);
        let (mut sent, mut confirmed, mut messages) = (0_u64, 0, messages.peekable());
        while messages.peek().is_some() || confirmed < sent {
            while sent - confirmed < u64::from(FILL_WINDOW)
                && let Some((twin, payload)) = messages.next()
            {
                let topic = format!("bench/{twin}/telemetry");
                requests.try_publish(topic, QoS::AtLeastOnce, false, payload)?;
                sent += 1;
            }
            let event = events.poll().await?;
            confirmed += u64::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
        }
        goodbye(&requests, &mut events).await
    }

    /// The bare client: the same options, acknowledgements by hand. `take` gets each message.
    ///
    /// # Errors
    ///
    /// Those of the client and of `take`.
    pub async fn bare(
        &self,
        messages: u64,
        mut take: impl FnMut(&Publish) -> Result<()>,
    ) -> Result<Usage> {
        // A broker that resumes a session may send more than the receive maximum at once.
        let room = usize::try_from(messages)? + 64;
        let (requests, mut events) = AsyncClient::new(self.session(), room);
        let (mut meter, mut count) = (Meter::start(), 0);
        while count < messages {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await? {
                if count == 0 {
                    meter = Meter::start();
                }
                take(&publish)?;
                requests.try_ack(&publish)?;
                count += 1;
            }
        }
        let usage = meter.stop();
        goodbye(&requests, &mut events).await?;
        Ok(usage)
    }

    /// The engine's connection to the same session.
    ///
    /// # Errors
    ///
    /// Settings that it does not take.
    pub fn connector(&self, model: &str, decoder: Format) -> Result<Mqtt> {
        let topic = "bench/{twin}/telemetry".into();
        let topic = MqttTopic { topic, model: Some(model.into()), qos: None };
        Ok(Mqtt::from_settings(MqttSettings {
            url: format!("mqtt://{}:{}", self.host, self.port),
            client_id: CLIENT.into(),
            topics: vec![topic],
            decoder,
            receive_max: self.receive_max,
            ..MqttSettings::default()
        })?)
    }
}

/// A runtime of this thread.
///
/// # Errors
///
/// Those of the system.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Says goodbye, behind everything that was asked for.
async fn goodbye(requests: &AsyncClient, events: &mut EventLoop) -> Result<()> {
    requests.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

impl Broker for Session {
    /// Each drain empties the session.
    fn fill(&self, data: &DataSet) -> Result<()> {
        let records = data.partitions().iter();
        let records = records.flat_map(|part| (0..part.len()).map(|i| part.record(i)));
        let messages = records
            .map(|(id, payload)| (String::from_utf8_lossy(id).into_owned(), payload.to_vec()));
        runtime()?.block_on(Session::fill(self, messages))
    }

    /// One client, however many workers there are: a session has one.
    fn bare(&self, data: &DataSet) -> Result<(Usage, Check)> {
        let mut twins = Twins::new(Counting::default());
        let take = |publish: &Publish| {
            let twin = publish.topic.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
            twins.take(std::iter::once((twin, &publish.payload[..])))
        };
        let usage = runtime()?.block_on(Session::bare(self, data.len() as u64, take))?;
        Ok((usage, twins.check()))
    }

    fn engine(&self, engine: Twinflow, data: &DataSet) -> Result<(Usage, Check)> {
        engine.drain(self.connector(MODEL, Format::Json)?, data)
    }
}
