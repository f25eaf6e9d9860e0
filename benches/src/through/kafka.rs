//! Kafka: a topic with the records of a data set, and the bare client that drains it.
//!
//! Estimate: the client costs 0.4-0.5 us of its thread a record, W1 0.4 us more where it is applied
//! in that thread: 1.1 M records/s. The engine reads in one thread and applies in another: 0.6 us
//! and 0.55, so 1.1-1.3 times as fast while each has a core, less the broker's share of both. Two
//! bare clients use both cores as well as one engine does, and copy no rows: 0.85.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use twinflow::connectors::kafka::Kafka;

use super::side::Broker;
use crate::args::Options;
use crate::check::Check;
use crate::data::DataSet;
use crate::drain::PATIENCE;
use crate::engine::Twinflow;
use crate::limit::{Counting, GROUP, Twins};
use crate::meter::{Meter, Usage};
use crate::record::Format;
use crate::rest::MODEL;
use crate::{Result, clock};

/// Records of one partition in a row, as the connector takes them.
const RUN_MAX: usize = 1024;
const PARTITIONS: i32 = 8;

/// What both sides tell the broker of themselves.
pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Makes a topic; whether it is new.
///
/// # Errors
///
/// A broker that does not answer.
pub fn make(brokers: &str, topic: &str, partitions: i32) -> Result<bool> {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(admin.create_topics(&[new], &AdminOptions::new()))?;
    if let Some(Err((_, code))) = made.first() {
        eprintln!("topic {topic}: {code}; its records are taken as they are");
        return Ok(false);
    }
    Ok(true)
}

/// Writes into a topic.
pub struct Writer(ThreadedProducer<DefaultProducerContext>);

impl Writer {
    /// A writer that fills batches.
    ///
    /// # Errors
    ///
    /// Settings that the client does not take.
    pub fn new(brokers: &str) -> Result<Self> {
        let mut config = client(brokers);
        config.set("linger.ms", "50").set("queue.buffering.max.messages", "500000");
        Ok(Self(config.create()?))
    }

    /// Adds a record, when there is room.
    pub fn add(&self, mut record: BaseRecord<'_, [u8], [u8]>) {
        while let Err((_, back)) = self.0.send(record) {
            std::thread::sleep(Duration::from_millis(5));
            record = back;
        }
    }

    /// Waits until all is written.
    ///
    /// # Errors
    ///
    /// A broker that does not take them within [`PATIENCE`].
    pub fn finish(self) -> Result<()> {
        Ok(self.0.flush(PATIENCE)?)
    }
}

/// The bare client: the connector's options and calls.
pub struct Bare {
    consumer: Arc<BaseConsumer>,
    queues: Vec<PartitionQueue<DefaultConsumerContext>>,
}

impl Bare {
    /// A client of these partitions from their beginning, for the thread that calls this.
    ///
    /// # Errors
    ///
    /// Settings or partitions that the client does not take.
    pub fn open(brokers: &str, topic: &str, own: impl Iterator<Item = i32>) -> Result<Self> {
        let mut config = client(brokers);
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
        for partition in own {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
            let queue = consumer.split_partition_queue(topic, partition);
            let mut queue = queue.ok_or("no queue for a partition")?;
            let waiter = waiter.clone();
            queue.set_nonempty_callback(move || waiter.unpark());
            queues.push(queue);
        }
        consumer.assign(&list)?;
        Ok(Self { consumer, queues })
    }

    /// Gives what is there to `take`, at most so many records at a time; waits a moment when there
    /// is nothing.
    ///
    /// # Errors
    ///
    /// Those of the client and of `take`.
    pub fn poll(
        &self,
        group: usize,
        mut take: impl FnMut(&[BorrowedMessage<'_>]) -> Result<()>,
    ) -> Result<()> {
        let mut dry = true;
        for queue in &self.queues {
            let mut records = Vec::with_capacity(group);
            for _ in 0..RUN_MAX / group {
                records.clear();
                while records.len() < group
                    && let Some(record) = queue.poll(Duration::ZERO)
                {
                    records.push(record?);
                }
                if records.is_empty() {
                    break;
                }
                dry = false;
                take(&records)?;
            }
        }
        drop(self.consumer.poll(Duration::ZERO));
        if dry {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// A topic with the records of W1; a twin's are in the partition of its number.
pub(super) struct Topic {
    brokers: String,
    connections: usize,
}

impl Topic {
    pub(super) fn of(options: &Options) -> Self {
        let brokers = options.broker.clone().unwrap_or_else(|| "127.0.0.1:19092".into());
        let connections = usize::try_from(options.connections).unwrap_or(1);
        Self { brokers, connections }
    }

    /// Named by its records, so that one that is there has the right ones.
    fn name(data: &DataSet) -> String {
        let parts = data.partitions().iter();
        let lines = parts.flat_map(|part| (0..part.len()).map(|i| crc32fast::hash(part.line(i))));
        let sum: u64 = lines.map(u64::from).sum();
        format!("bench-w1-{}-{sum:x}", data.len())
    }

    /// One of `clients`: drains its partitions until all clients together have all records.
    fn drain(&self, topic: &str, client: i32, clients: usize, all: &Progress) -> Result<Check> {
        let own = (client..PARTITIONS).step_by(clients);
        let bare = Bare::open(&self.brokers, topic, own)?;
        let mut twins = Twins::new(Counting::default());
        let limit = clock::now() + PATIENCE;
        while all.usage.get().is_none() {
            if clock::now() > limit {
                return Err(format!("{:?} records after {PATIENCE:?}", all.done).into());
            }
            bare.poll(GROUP, |records| {
                all.begin();
                twins.take(records.iter().map(|record| {
                    (record.key().unwrap_or_default(), record.payload().unwrap_or_default())
                }))?;
                all.add(records.len() as u64);
                Ok(())
            })?;
        }
        Ok(twins.check())
    }
}

/// How far all clients are together.
#[derive(Debug)]
struct Progress {
    all: u64,
    done: AtomicU64,
    meter: Mutex<Option<Meter>>,
    usage: OnceLock<Usage>,
}

impl Progress {
    fn new(all: u64) -> Self {
        Self { all, done: AtomicU64::new(0), meter: Mutex::new(None), usage: OnceLock::new() }
    }

    /// Starts the clock at the first record of any client.
    fn begin(&self) {
        if self.done.load(Ordering::Acquire) == 0 {
            let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
            meter.get_or_insert_with(Meter::start);
        }
    }

    /// Stops it at the last.
    fn add(&self, records: u64) {
        if self.done.fetch_add(records, Ordering::AcqRel) + records == self.all {
            let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.usage.get_or_init(|| meter.expect("it began").stop());
        }
    }
}

impl Broker for Topic {
    fn fill(&self, data: &DataSet) -> Result<()> {
        let topic = Self::name(data);
        if !make(&self.brokers, &topic, PARTITIONS)? {
            return Ok(());
        }
        eprintln!("writing {} records into {topic}", data.len());
        let writer = Writer::new(&self.brokers)?;
        for partition in data.partitions() {
            for (id, payload) in (0..partition.len()).map(|i| partition.record(i)) {
                let twin = Format::Json.twin(id).ok_or("an id of W1 has a number")?;
                let to = i32::try_from(twin % PARTITIONS as u64)?;
                writer.add(BaseRecord::to(&topic).partition(to).key(id).payload(payload));
            }
        }
        writer.finish()
    }

    fn bare(&self, data: &DataSet) -> Result<(Usage, Check)> {
        let (topic, clients) = (Self::name(data), data.partitions().len());
        let progress = Progress::new(data.len() as u64);
        let checks = std::thread::scope(|scope| {
            let drain = |client| {
                let (topic, progress) = (&topic, &progress);
                scope.spawn(move || self.drain(topic, client, clients, progress))
            };
            let running: Vec<_> = (0..clients as i32).map(drain).collect();
            let join = running.into_iter().map(|client| client.join().expect("no panic"));
            join.collect::<Result<Vec<_>>>()
        })?;
        let usage = *progress.usage.get().ok_or("not all records came")?;
        let mut check = Check::default();
        checks.into_iter().for_each(|of_client| check.merge(of_client));
        Ok((usage, check))
    }

    fn engine(&self, engine: Twinflow, data: &DataSet) -> Result<(Usage, Check)> {
        let kafka = Kafka::brokers(self.brokers.split(',')).topic(Self::name(data), MODEL);
        let kafka = kafka.with(|settings| {
            settings.group = "bench-twinflow".into();
            settings.connections = self.connections;
        });
        engine.drain(kafka.connect()?, data)
    }
}
