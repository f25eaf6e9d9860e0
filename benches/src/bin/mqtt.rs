//! MQTT: a filled session drained by the bare client and through the engine, in turn.
//!
//! Estimate: the broker is one thread and gives 80,000-100,000 messages a second, 10 us each; the
//! bare client with acknowledgements by hand costs 8-10 us of a core, most of it the system call
//! that each acknowledgement is. The engine adds the copy into the row and the hash, 0.1 us, and
//! 0.1-0.2 us on the worker's core. So 0.9-1.0 of the bare rate. Neither sets `TCP_NODELAY`, so
//! that acknowledgements may gather.
//!
//! It needs a Mosquitto whose window is not smaller than `--receive-max` and that queues all:
//! `max_inflight_messages 1000`, `max_queued_messages 0`, `set_tcp_nodelay true`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use twinflow::connectors::ConfigurableConnector;
use twinflow::connectors::message::Format;
use twinflow::connectors::mqtt::{Mqtt, MqttSettings, MqttTopic};
use twinflow_bench::Result;
use twinflow_bench::drain::{self, Drained, MODEL, number};
use twinflow_bench::meter::Meter;

/// The session of either side, and what both subscribe to.
const CLIENT: &str = "twinflow-bench";
const FILTER: &str = "bench/+/telemetry";
/// Publications on their way while the session is filled.
const FILL_WINDOW: u16 = 1000;

/// Drains a session by the bare client and through the engine in turn.
#[derive(Debug, Parser)]
struct Args {
    /// Host of a broker
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port
    #[arg(long, default_value_t = 1883)]
    port: u16,
    /// How many messages
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Bytes of a payload, at least 8
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Messages that may be unacknowledged
    #[arg(long, default_value_t = 1000)]
    receive_max: u16,
    /// Number of twins
    #[arg(long, default_value_t = 1000)]
    twins: u64,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mqtt bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bare = || {
        runtime.block_on(fill(args))?;
        runtime.block_on(bare(args))
    };
    let engine = || {
        runtime.block_on(fill(args))?;
        engine(args)
    };
    drain::in_turn(args.runs, args.messages, "messages", bare, engine)
}

fn client(args: &Args, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, args.host.as_str(), args.port);
    options.set_keep_alive(Duration::from_secs(30));
    options.set_max_packet_size(Some(4 << 20));
    options
}

/// The session that both sides drain.
fn session(args: &Args) -> MqttOptions {
    let mut options = client(args, CLIENT);
    options.set_clean_start(false).set_manual_acks(true);
    options.set_session_expiry_interval(Some(3600)).set_receive_maximum(Some(args.receive_max));
    options
}

/// Says goodbye, behind everything that was asked for.
async fn goodbye(requests: &AsyncClient, events: &mut EventLoop) -> Result<()> {
    requests.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

/// Makes the session anew and fills it.
async fn fill(args: &Args) -> Result<()> {
    let mut anew = session(args);
    anew.set_clean_start(true);
    let (requests, mut events) = AsyncClient::new(anew, 8);
    requests.subscribe(FILTER, QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    goodbye(&requests, &mut events).await?;

    let mut writer = client(args, "twinflow-bench-writer");
    writer.set_outgoing_inflight_upper_limit(FILL_WINDOW);
    let (requests, mut events) = AsyncClient::new(writer, usize::from(FILL_WINDOW) * 2);
    let mut payload = vec![b'x'; args.bytes];
    let (mut sent, mut confirmed) = (0, 0);
    while confirmed < args.messages {
        while sent < args.messages && sent - confirmed < u64::from(FILL_WINDOW) {
            payload[..8].copy_from_slice(&sent.to_le_bytes());
            let twin = sent.wrapping_mul(0x9e37_79b9) % args.twins;
            let topic = format!("bench/twin-{twin:04}/telemetry");
            requests.try_publish(topic, QoS::AtLeastOnce, false, payload.clone())?;
            sent += 1;
        }
        confirmed += u64::from(matches!(events.poll().await?, Event::Incoming(Packet::PubAck(_))));
    }
    goodbye(&requests, &mut events).await
}

/// The bare client: the same options, acknowledgements by hand, and nothing done with a message.
async fn bare(args: &Args) -> Result<Drained> {
    let (requests, mut events) = AsyncClient::new(session(args), usize::from(u16::MAX) + 64);
    let (mut meter, mut sum, mut count) = (Meter::start(), 0_u64, 0);
    while count < args.messages {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await? {
            if count == 0 {
                meter = Meter::start();
            }
            sum = sum.wrapping_add(number(&publish.payload));
            requests.try_ack(&publish)?;
            count += 1;
        }
    }
    let usage = meter.stop();
    goodbye(&requests, &mut events).await?;
    Ok(Drained { usage, sum })
}

fn engine(args: &Args) -> Result<Drained> {
    let topic =
        MqttTopic { topic: "bench/{twin}/telemetry".into(), model: Some(MODEL.into()), qos: None };
    let mqtt = Mqtt::from_settings(MqttSettings {
        url: format!("mqtt://{}:{}", args.host, args.port),
        client_id: CLIENT.into(),
        topics: vec![topic],
        decoder: Format::Bytes,
        receive_max: args.receive_max,
        ..MqttSettings::default()
    })?;
    drain::engine(mqtt, args.messages)
}
