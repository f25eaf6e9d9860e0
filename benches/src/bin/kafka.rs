//! Kafka: the same topic drained by the bare client and through the engine, in turn.
//!
//! Estimate: the bare client with split queues takes 0.4-0.5 us of its thread a record. The engine
//! adds the copy into the row and the hash, 40-60 ns, to that thread, and 100-150 ns a record to
//! the worker's, which is another core; the broker and the client's own threads need a share of
//! both. So 0.7-0.9 of the bare rate while there is a core to spare, 0.6 on two.
//!
//! It needs a broker: the guide in `docs/reference/connectors/kafka.md` has one in five lines.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use twinflow::connectors::kafka::Kafka;
use twinflow::connectors::message::Format;
use twinflow_bench::Result;
use twinflow_bench::drain::{self, Drained, MODEL, PATIENCE, number};
use twinflow_bench::meter::Meter;

/// Records of one partition in a row, as the connector takes them.
const RUN_MAX: usize = 1024;

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

fn run(args: &Args) -> Result<()> {
    let topic = format!("bench-{}-{}-{}", args.messages, args.bytes, args.twins);
    fill(args, &topic)?;
    let bare = || bare(args, &topic);
    drain::in_turn(args.runs, args.messages, "records", bare, || engine(args, &topic))
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

fn engine(args: &Args, topic: &str) -> Result<Drained> {
    let kafka = Kafka::brokers(args.brokers.split(',')).topic(topic, MODEL).with(|settings| {
        settings.decoder = Format::Bytes;
        settings.group = "bench-twinflow".into();
    });
    drain::engine(kafka.connect()?, args.messages)
}
