//! Kafka: the same topic drained by the bare client and through the engine, in turn.
//!
//! Estimate: the bare client with split queues takes 0.4-0.5 us of its thread a record. The engine
//! adds the copy into the row and the hash, 40-60 ns, to that thread, and 100-150 ns a record to
//! the worker's, which is another core; the broker and the client's own threads need a share of
//! both. So 0.7-0.9 of the bare rate while there is a core to spare, 0.6 on two.
//!
//! It needs a broker: the guide in `docs/reference/connectors/kafka.md` has one in five lines.

use std::process::ExitCode;

use clap::Parser;
use rdkafka::Message;
use rdkafka::producer::BaseRecord;
use twinflow::connectors::kafka::Kafka;
use twinflow::connectors::message::Format;
use twinflow_bench::Result;
use twinflow_bench::drain::{self, Drained, MODEL, number};
use twinflow_bench::limit::GROUP;
use twinflow_bench::meter::Meter;
use twinflow_bench::through::kafka::{Bare, Writer, make};

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

/// Makes the topic with its records, once.
fn fill(args: &Args, topic: &str) -> Result<()> {
    if !make(&args.brokers, topic, args.partitions)? {
        return Ok(());
    }
    eprintln!("writing {} records", args.messages);
    let writer = Writer::new(&args.brokers)?;
    let mut payload = vec![b'x'; args.bytes];
    for number in 0..args.messages {
        payload[..8].copy_from_slice(&number.to_le_bytes());
        let key = format!("twin-{:07}", number.wrapping_mul(0x9e37_79b9) % args.twins);
        writer.add(BaseRecord::to(topic).key(key.as_bytes()).payload(&payload));
    }
    writer.finish()
}

/// The bare client: the same options and the same calls, and nothing done with a record.
fn bare(args: &Args, topic: &str) -> Result<Drained> {
    let client = Bare::open(&args.brokers, topic, 0..args.partitions)?;
    let (mut meter, mut sum, mut count) = (Meter::start(), 0_u64, 0);
    while count < args.messages {
        client.poll(GROUP, |records| {
            if count == 0 {
                meter = Meter::start();
            }
            for record in records {
                let key = record.key().map_or(0, <[u8]>::len);
                sum = sum.wrapping_add(number(record.payload().unwrap_or_default()));
                count += u64::from(key > 0);
            }
            Ok(())
        })?;
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
