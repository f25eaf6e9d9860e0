//! A broker, a way to cut it off, and the far side of a connection: topics, writers, readers.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

/// How long a question to a broker of the tests may take.
const PATIENCE: Duration = Duration::from_secs(20);

static NAMES: AtomicU64 = AtomicU64::new(0);

/// A name that no other test has.
pub(crate) fn name(what: &str) -> String {
    format!("{what}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// The world outside: writes and reads what the connector does not.
pub(crate) struct Far {
    brokers: String,
    writer: ThreadedProducer<DefaultProducerContext>,
}

impl Far {
    pub(crate) fn new(brokers: &str) -> Self {
        let writer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .create()
            .unwrap();
        Self { brokers: brokers.to_owned(), writer }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    pub(crate) async fn make_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let made = self.admin().create_topics(&[new], &AdminOptions::new()).await.unwrap();
        made[0].as_ref().unwrap_or_else(|error| panic!("{topic}: {error:?}"));
        let made = tokio::time::timeout(PATIENCE, async {
            let asked = || self.writer.client().fetch_metadata(Some(topic), PATIENCE).unwrap();
            while asked().topics()[0].partitions().len() < partitions as usize {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        made.await.unwrap();
    }

    /// Adds partitions to a topic.
    pub(crate) async fn grow(&self, topic: &str, partitions: usize) {
        let more = [NewPartitions::new(topic, partitions)];
        let made = self.admin().create_partitions(&more, &AdminOptions::new()).await.unwrap();
        made[0].as_ref().unwrap_or_else(|error| panic!("{topic}: {error:?}"));
    }

    /// Removes the oldest records, as retention does.
    pub(crate) async fn remove_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let removed = self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
        removed.elements()[0].error().unwrap();
    }

    /// Deletes a topic and makes it anew with one partition.
    pub(crate) async fn remake_topic(&self, topic: &str) {
        let gone = self.admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        gone[0].as_ref().unwrap_or_else(|error| panic!("{topic}: {error:?}"));
        for _ in 0..200 {
            let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1));
            let made = self.admin().create_topics(&[new], &AdminOptions::new()).await.unwrap();
            if made[0].is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{topic} cannot be made anew");
    }

    /// Writes records without waiting; `None` is a tombstone or no key.
    pub(crate) fn put(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.key = key;
        record.payload = value;
        record.partition = partition;
        if !headers.is_empty() {
            let all = OwnedHeaders::new();
            record.headers =
                Some(headers.iter().fold(all, |all, (key, value)| {
                    all.insert(Header { key, value: Some(*value) })
                }));
        }
        self.writer.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Waits until the brokers have everything.
    pub(crate) fn flush(&self) {
        self.writer.flush(PATIENCE).unwrap();
    }

    /// The offsets that a group committed, -1 where none.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<i64> {
        let asks: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let answer = asks.committed_offsets(list, PATIENCE).unwrap();
        let offset = |offset: Offset| offset.to_raw().filter(|offset| *offset >= 0).unwrap_or(-1);
        answer.elements().iter().map(|element| offset(element.offset())).collect()
    }

    /// A reader of all partitions of a topic from their start.
    pub(crate) fn reader(&self, topic: &str, partitions: i32) -> Reader {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "far")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        Reader(consumer)
    }
}

/// Reads what the connector wrote.
pub(crate) struct Reader(BaseConsumer);

impl Reader {
    /// Waits for the next record.
    pub(crate) async fn next(&mut self) -> OwnedMessage {
        loop {
            if let Some(record) = self.0.poll(Duration::ZERO) {
                match record {
                    Ok(record) => return record.detach(),
                    Err(error) => eprintln!("the far reader: {error}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The value of a header as text.
pub(crate) fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    let headers = record.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(found.value?.to_vec()).unwrap())
}
