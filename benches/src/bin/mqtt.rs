//! MQTT: a filled session drained by the bare client and through the engine, in turn.
//!
//! Estimate: the broker is one thread and gives 80,000-100,000 messages a second, 10 us each; the
//! bare client with acknowledgements by hand costs 8-10 us of a core, most of it the system call
//! that each acknowledgement is. The engine adds the copy into the row and the hash, 0.1 us, and
//! 0.1-0.2 us on the worker's core. So 0.9-1.0 of the bare rate.
//!
//! It needs a Mosquitto whose window is not smaller than `--receive-max` and that queues all:
//! `max_inflight_messages 1000`, `max_queued_messages 0`, `set_tcp_nodelay true`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Parser;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use twinflow::connectors::ConfigurableConnector;
use twinflow::connectors::message::Format;
use twinflow::connectors::mqtt::{Mqtt, MqttSettings, MqttTopic};
use twinflow::prelude::*;
use twinflow::{ConnectionSettings, Engine};
use twinflow_bench::meter::{Meter, Usage};
use twinflow_bench::{Result, clock};

/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// The model, the session of either side, and what both subscribe to.
const MODEL: &str = "opaque";
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

#[expect(clippy::print_stdout, reason = "results")]
fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ratios = Vec::new();
    for number in 1..=args.runs {
        runtime.block_on(fill(args))?;
        let bare = runtime.block_on(bare(args))?;
        runtime.block_on(fill(args))?;
        let engine = engine(args)?;
        if bare.sum != engine.sum {
            return Err(format!("check: {} and {} are not the same", bare.sum, engine.sum).into());
        }
        for (name, run) in [("bare", &bare), ("twinflow", &engine)] {
            let (rate, cpu) = (run.rate(args.messages), run.usage.cpu_s);
            println!("run {number} {name:<8} {rate:>9.0} messages/s  cpu {cpu:.2} s");
        }
        ratios.push(engine.rate(args.messages) / bare.rate(args.messages));
    }
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let median = ratios[ratios.len() / 2];
    println!("ratio median {median:.2}, {least:.2} to {most:.2}, check ok");
    Ok(())
}

/// What draining once took, from the first message to the last.
struct Drained {
    usage: Usage,
    /// Sum of the numbers in the payloads.
    sum: u64,
}

impl Drained {
    fn rate(&self, messages: u64) -> f64 {
        messages as f64 / self.usage.seconds
    }
}

fn client(args: &Args, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, args.host.as_str(), args.port);
    options.set_keep_alive(Duration::from_secs(30));
    options.set_max_packet_size(Some(4 << 20));
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
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

/// The number at the start of a payload.
fn number(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
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

/// What the processors of a run have seen.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    sum: AtomicU64,
    first: OnceLock<Instant>,
    last: OnceLock<Instant>,
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Twin {
    messages: u64,
}

impl TwinModel for Twin {
    type Message<'m> = RawMessage<'m>;
}

struct Opaque {
    seen: Arc<Seen>,
    messages: u64,
}

impl MessageProcessor for Opaque {
    type Model = Twin;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut Twin,
        messages: Messages<'_, RawMessage<'_>>,
    ) -> ProcessingResult {
        self.seen.first.get_or_init(clock::now);
        let (mut sum, mut count) = (0_u64, 0);
        for message in messages {
            sum = sum.wrapping_add(number(message.payload));
            count += 1;
        }
        twin.messages += count;
        self.seen.sum.fetch_add(sum, Ordering::Relaxed);
        if self.seen.count.fetch_add(count, Ordering::AcqRel) + count == self.messages {
            self.seen.last.get_or_init(clock::now);
        }
        Ok(Outcome::Update)
    }
}

/// Through the engine: memory store, opaque payloads.
fn engine(args: &Args) -> Result<Drained> {
    let seen = Arc::<Seen>::default();
    let processor = Opaque { seen: Arc::clone(&seen), messages: args.messages };
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
    let waiting = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
    let engine = Engine::builder()
        .memory_store()
        .workers(1)
        .model(MODEL, processor)
        .connection_with("messages", mqtt, waiting)
        .start()?;
    let meter = Meter::start();
    engine.handle().resume("messages");
    let limit = clock::now() + PATIENCE;
    while seen.last.get().is_none() {
        if clock::now() > limit {
            let count = seen.count.load(Ordering::Acquire);
            return Err(format!("{count} messages after {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut usage = meter.stop();
    if let (Some(first), Some(last)) = (seen.first.get(), seen.last.get()) {
        usage.seconds = last.duration_since(*first).as_secs_f64();
    }
    engine.stop()?;
    Ok(Drained { usage, sum: seen.sum.load(Ordering::Acquire) })
}
