//! Everything outside the program: who writes, and who asks the broker for the group's offsets.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

use crate::clock::until;

/// The group whose offsets are looked at.
pub(crate) const GROUP: &str = "faults";

const PATIENCE: Duration = Duration::from_secs(30);

/// One topic at a broker.
pub(crate) struct World {
    producer: ThreadedProducer<DefaultProducerContext>,
    admin: AdminClient<DefaultClientContext>,
    asking: BaseConsumer,
    topic: &'static str,
    partitions: i32,
}

impl World {
    /// Makes the topic.
    pub(crate) fn new(bootstrap: &str, topic: &'static str, partitions: u64) -> Self {
        let config = || {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", bootstrap);
            config
        };
        let (admin, partitions): (AdminClient<DefaultClientContext>, _) =
            (config().create().unwrap(), partitions as i32);
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = async { admin.create_topics(&[new], &AdminOptions::new()).await.unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(made)[0].is_ok());
        let mut writing = config();
        writing.set("enable.idempotence", "true").set("linger.ms", "20");
        let asking = config().set("group.id", GROUP).create().unwrap();
        Self { producer: writing.create().unwrap(), admin, asking, topic, partitions }
    }

    /// Writes a record, as soon as there is room for it.
    pub(crate) fn send(&self, partition: u64, key: &str, payload: &str) {
        let record = BaseRecord::to(self.topic).partition(partition as i32);
        let mut record = record.key(key).payload(payload);
        while let Err((_full, back)) = self.producer.send(record) {
            std::thread::sleep(Duration::from_millis(2));
            record = back;
        }
    }

    /// Removes the records of a partition below an offset, as retention does.
    pub(crate) fn remove_before(&self, partition: u64, offset: u64) {
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(offset as i64);
        list.add_partition_offset(self.topic, partition as i32, offset).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // A young broker takes its time for that, too.
        until(60, "the records are removed", || {
            let removed = self.admin.delete_records(&list, &AdminOptions::new());
            let removed = runtime.block_on(removed);
            removed.is_ok_and(|removed| removed.elements()[0].error().is_ok())
        });
    }

    /// Waits until the broker has everything.
    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(120)).unwrap();
    }

    /// What the broker has as the group's offsets, 0 where there is none.
    pub(crate) fn committed(&self) -> Vec<u64> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(self.topic, 0, self.partitions - 1);
        let mut found = None;
        // A young broker does not know for a while who keeps the group.
        until(60, "the broker has the group's offsets", || {
            found = self.asking.committed_offsets(list.clone(), PATIENCE).ok();
            found.is_some()
        });
        let list = found.unwrap();
        let offset = |partition| match list.find_partition(self.topic, partition).unwrap().offset()
        {
            Offset::Offset(offset) => offset as u64,
            _ => 0,
        };
        (0..self.partitions).map(offset).collect()
    }

    /// The ends of the partitions.
    pub(crate) fn ends(&self) -> Vec<u64> {
        let end = |it| self.asking.fetch_watermarks(self.topic, it, PATIENCE).unwrap().1 as u64;
        (0..self.partitions).map(end).collect()
    }
}
