//! The partitions of a session: their queues, drained in turn without waiting.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
    message::OwnedMessage,
};

use super::{
    assign::Assigned,
    heard::{Context, Heard},
    plan::Plan,
    record::Reader,
    trouble::{of_topic, retryable},
};
use crate::{error::ConnectorError, link::Delivery, message::PartitionRef};

/// Records of one partition in a row before the next one gets its turn.
const RUN_MAX: usize = 1024;

/// Per partition of a delivery its number in the session and the next offset.
pub(super) type Marks = Vec<(usize, i64)>;

/// One partition that the session reads.
pub(super) struct Partition {
    pub(super) topic: usize,
    pub(super) partition: i32,
    number: PartitionRef,
    queue: PartitionQueue<Context>,
    /// The next offset to deliver.
    pub(super) next: i64,
    /// Where the session began.
    pub(super) begun: i64,
    /// Next offset of which everything before is committed; -1 until something is.
    pub(super) acknowledged: i64,
}

/// All partitions of a session.
pub(super) struct Partitions {
    plan: Arc<Plan>,
    all: Vec<Partition>,
    /// Whose turn it is.
    turn: usize,
    /// The one record that did not fit into the last delivery, with its partition.
    held: Option<(usize, OwnedMessage)>,
    reader: Reader,
}

/// How draining one queue ended.
enum Run {
    /// There are no more records.
    Dry,
    /// There may be more.
    Paused,
    /// The delivery is full.
    Full,
}

impl Partitions {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        let plan = Arc::clone(plan);
        Self { plan, all: Vec::new(), turn: 0, held: None, reader: Reader::default() }
    }

    pub(super) fn all(&self) -> &[Partition] {
        &self.all
    }

    pub(super) fn all_mut(&mut self) -> &mut [Partition] {
        &mut self.all
    }

    pub(super) fn has(&self, topic: usize, partition: i32) -> bool {
        self.all.iter().any(|known| (known.topic, known.partition) == (topic, partition))
    }

    /// The topic's name and the number of a partition.
    pub(super) fn place(&self, at: usize) -> (&str, i32) {
        let known = &self.all[at];
        (&self.plan.topics[known.topic].name, known.partition)
    }

    /// Begins to read partitions; their queues ring when records come.
    pub(super) fn add(
        &mut self,
        consumer: &Arc<BaseConsumer<Context>>,
        assigned: &[Assigned],
        heard: &Arc<Heard>,
    ) -> Result<(), ConnectorError> {
        let mut list = rdkafka::TopicPartitionList::with_capacity(assigned.len());
        for new in assigned {
            let (name, at) = (&self.plan.topics[new.topic].name, rdkafka::Offset::Offset(new.next));
            list.add_partition_offset(name, new.partition, at).map_err(cannot_assign)?;
        }
        // Split before the first record can come, so that none is in the common queue.
        for new in assigned {
            let name = &self.plan.topics[new.topic].name;
            let mut queue = consumer
                .split_partition_queue(name, new.partition)
                .ok_or_else(|| retryable("make a queue for a partition"))?;
            let heard = Arc::clone(heard);
            queue.set_nonempty_callback(move || heard.bell.notify_one());
            self.all.push(Partition {
                topic: new.topic,
                partition: new.partition,
                number: new.number,
                queue,
                next: new.next,
                begun: new.next,
                acknowledged: -1,
            });
        }
        consumer.incremental_assign(&list).map_err(cannot_assign)
    }

    /// Fills a delivery with what lies ready. Gives how far each partition went, and whether all
    /// queues are dry.
    pub(super) fn fill(
        &mut self,
        delivery: &mut Delivery<'_>,
    ) -> Result<(Marks, bool), ConnectorError> {
        let before: Vec<_> = self.all.iter().map(|partition| partition.next).collect();
        let dry = self.drain(delivery)?;
        let moved = self.all.iter().map(|partition| partition.next).zip(before).enumerate();
        let marks = moved.filter(|(_, (next, before))| next > before);
        Ok((marks.map(|(at, (next, _))| (at, next)).collect(), dry))
    }

    fn drain(&mut self, delivery: &mut Delivery<'_>) -> Result<bool, ConnectorError> {
        if let Some((at, record)) = self.held.take()
            && !self.push_held(delivery, at, record)
        {
            return Ok(false);
        }
        let mut dry = 0;
        while dry < self.all.len() {
            let at = self.turn % self.all.len();
            match self.drain_one(delivery, at)? {
                Run::Full => return Ok(false),
                Run::Dry => dry += 1,
                Run::Paused => dry = 0,
            }
            self.turn = at + 1;
        }
        Ok(true)
    }

    fn push_held(&mut self, delivery: &mut Delivery<'_>, at: usize, record: OwnedMessage) -> bool {
        let Self { plan, all, reader, held, .. } = self;
        let partition = &mut all[at];
        let (topic, dedupe) = (&plan.topics[partition.topic], plan.dedupe.as_ref());
        if reader.push(delivery, &record, partition.number, topic, dedupe) {
            partition.next = rdkafka::Message::offset(&record) + 1;
            return true;
        }
        *held = Some((at, record));
        false
    }

    fn drain_one(&mut self, delivery: &mut Delivery<'_>, at: usize) -> Result<Run, ConnectorError> {
        let Self { plan, all, reader, held, .. } = self;
        let partition = &mut all[at];
        let (topic, dedupe) = (&plan.topics[partition.topic], plan.dedupe.as_ref());
        for _ in 0..RUN_MAX {
            let record = match partition.queue.poll(Duration::ZERO) {
                None => return Ok(Run::Dry),
                Some(Err(error)) => {
                    judge(&topic.name, partition.partition, &error)?;
                    continue;
                }
                Some(Ok(record)) => record,
            };
            if !reader.push(delivery, &record, partition.number, topic, dedupe) {
                // One copy a delivery: what was polled cannot be put back.
                *held = Some((at, record.detach()));
                return Ok(Run::Full);
            }
            partition.next = rdkafka::Message::offset(&record) + 1;
        }
        Ok(Run::Paused)
    }
}

fn judge(topic: &str, partition: i32, error: &KafkaError) -> Result<(), ConnectorError> {
    match of_topic(topic, Some(partition), error) {
        Some(over) => Err(over),
        None => {
            tracing::warn!(topic, partition, %error, "the client reports an error and goes on");
            Ok(())
        }
    }
}

fn cannot_assign(error: KafkaError) -> ConnectorError {
    retryable("assign partitions").because(error)
}
