//! Kafka: the same topic drained by the bare client and through the engine, in turn.
//!
//! Estimate: the bare client with split queues takes 0.4-0.5 us of its thread a record. The engine
//! adds the copy into the row and the hash, 40-60 ns, to that thread, and 100-150 ns a record to
//! the worker's, which is another core; the broker and the client's own threads need a share of
//! both. So 0.7-0.9 of the bare rate while there is a core to spare, 0.6 on two.
//!
//! It needs a broker: the guide in `docs/reference/connectors/kafka.md` has one in five lines.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use twinflow::connectors::kafka::Kafka;
use twinflow::connectors::message::Format;
use twinflow::prelude::*;
use twinflow::{ConnectionSettings, Engine};
use twinflow_bench::meter::{Meter, Usage};
use twinflow_bench::{Result, clock};

/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Records of one partition in a row, as the connector takes them.
const RUN_MAX: usize = 1024;
/// The model, and the connection.
const MODEL: &str = "opaque";

/// Drains a topic by the bare client and through the engine in turn.
#[derive(Debug, Parser)]
struct Args {
    /// Address of a broker
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// How many records; the topic is made for them
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Bytes of a payload, at least 8
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Partitions of the topic
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// Number of twins
    #[arg(long, default_value_t = 100_000)]
    twins: u64,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kafka bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "results")]
fn run(args: &Args) -> Result<()> {
    let topic = format!("bench-{}-{}-{}", args.messages, args.bytes, args.twins);
    fill(args, &topic)?;
    let mut ratios = Vec::new();
    for number in 1..=args.runs {
        let limit = bare(args, &topic)?;
        let engine = engine(args, &topic)?;
        if limit.sum != engine.sum {
            return Err(format!("check: {} and {} are not the same", limit.sum, engine.sum).into());
        }
        for (name, run) in [("bare", &limit), ("twinflow", &engine)] {
            let (rate, cpu) = (run.rate(args.messages), run.usage.cpu_s);
            println!("run {number} {name:<8} {rate:>9.0} records/s  cpu {cpu:.2} s");
        }
        ratios.push(engine.rate(args.messages) / limit.rate(args.messages));
    }
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let median = ratios[ratios.len() / 2];
    println!("ratio median {median:.2}, {least:.2} to {most:.2}, check ok");
    Ok(())
}

/// What draining once took, from the first record to the last.
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

fn client(args: &Args) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.brokers);
    config
}

/// Makes the topic with its records, once.
fn fill(args: &Args, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(args).create()?;
    let new = NewTopic::new(topic, args.partitions, TopicReplication::Fixed(-1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(admin.create_topics(&[new], &AdminOptions::new()))?;
    if let Some(Err((_, code))) = made.first() {
        eprintln!("topic {topic}: {code}; its records are taken as they are");
        return Ok(());
    }
    eprintln!("writing {} records", args.messages);
    let mut config = client(args);
    config.set("linger.ms", "50").set("queue.buffering.max.messages", "500000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let mut payload = vec![b'x'; args.bytes];
    for number in 0..args.messages {
        payload[..8].copy_from_slice(&number.to_le_bytes());
        let key = format!("twin-{:07}", number.wrapping_mul(0x9e37_79b9) % args.twins);
        let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
        while let Err((_, back)) = producer.send(record) {
            std::thread::sleep(Duration::from_millis(5));
            record = back;
        }
    }
    Ok(producer.flush(PATIENCE)?)
}

/// The number at the start of a payload.
fn number(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The bare client: the same options and the same calls, and nothing done with a record.
fn bare(args: &Args, topic: &str) -> Result<Drained> {
    let mut config = client(args);
    config
        .set("group.id", "bench-bare")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", "32768")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "10");
    let consumer: Arc<BaseConsumer> = Arc::new(config.create()?);
    let mut list = TopicPartitionList::new();
    let (mut queues, waiter) = (Vec::new(), std::thread::current());
    for partition in 0..args.partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
        let queue = consumer.split_partition_queue(topic, partition);
        let mut queue = queue.ok_or("no queue for a partition")?;
        let waiter = waiter.clone();
        queue.set_nonempty_callback(move || waiter.unpark());
        queues.push(queue);
    }
    consumer.assign(&list)?;
    let (mut meter, mut sum, mut count) = (Meter::start(), 0_u64, 0);
    while count < args.messages {
        let mut dry = true;
        for queue in &queues {
            for _ in 0..RUN_MAX {
                let Some(record) = queue.poll(Duration::ZERO) else { break };
                let record = record?;
                if count == 0 {
                    meter = Meter::start();
                }
                let key = record.key().map_or(0, <[u8]>::len);
                sum = sum.wrapping_add(number(record.payload().unwrap_or_default()));
                (dry, count) = (false, count + u64::from(key > 0));
            }
        }
        drop(consumer.poll(Duration::ZERO));
        if dry {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
    Ok(Drained { usage: meter.stop(), sum })
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
    records: u64,
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
        twin.records += count;
        self.seen.sum.fetch_add(sum, Ordering::Relaxed);
        if self.seen.count.fetch_add(count, Ordering::AcqRel) + count == self.messages {
            self.seen.last.get_or_init(clock::now);
        }
        Ok(Outcome::Update)
    }
}

/// Through the engine: memory store, opaque payloads.
fn engine(args: &Args, topic: &str) -> Result<Drained> {
    let seen = Arc::<Seen>::default();
    let processor = Opaque { seen: Arc::clone(&seen), messages: args.messages };
    let kafka = Kafka::brokers(args.brokers.split(',')).topic(topic, MODEL).with(|settings| {
        settings.decoder = Format::Bytes;
        settings.group = "bench-twinflow".into();
    });
    let waiting = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
    let engine = Engine::builder()
        .memory_store()
        .workers(1)
        .model(MODEL, processor)
        .connection_with("records", kafka.connect()?, waiting)
        .start()?;
    let meter = Meter::start();
    engine.handle().resume("records");
    let limit = clock::now() + PATIENCE;
    while seen.last.get().is_none() {
        if clock::now() > limit {
            let count = seen.count.load(Ordering::Acquire);
            return Err(format!("{count} records after {PATIENCE:?}").into());
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
