//! The group's offsets at the brokers: what is committed here, for monitoring of lag there.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
};
use tokio::time::Instant;

use super::{
    assign::Assigned,
    heard::{Context, Heard},
    partitions::{Marks, Partitions},
    plan::Plan,
    settings::KafkaIsolation,
};
use crate::link::{LinkIntake, Reporter};

/// Keeps what is committed and tells the brokers now and then.
pub(super) struct Offsets {
    plan: Arc<Plan>,
    /// Where partitions went on at the start of the session. Receipts are acknowledged in order,
    /// so that this is committed once anything of the session is.
    first: Marks,
    /// Whether something was committed that the brokers have not been told.
    is_new: bool,
    /// How many commits were sent.
    sent: u64,
    due: Instant,
    /// Said once: without this right everything but monitoring works.
    complained: bool,
}

impl Offsets {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        let (first, due) = (Marks::new(), Instant::now());
        Self { plan: Arc::clone(plan), first, is_new: false, sent: 0, due, complained: false }
    }

    /// Notes where new partitions begin; the first of them gets the number `count`.
    pub(super) fn begin(&mut self, count: usize, new: &[Assigned]) {
        let known = new.iter().enumerate().filter(|(_, assigned)| assigned.known);
        self.first.extend(known.map(|(at, assigned)| (count + at, assigned.next)));
    }

    /// The marks of a delivery, and with the first one where the session went on.
    pub(super) fn with_first(&mut self, marks: Marks) -> Marks {
        if self.first.is_empty() {
            return marks;
        }
        let mut all = marks;
        for (at, next) in std::mem::take(&mut self.first) {
            if !all.iter().any(|(marked, _)| *marked == at) {
                all.push((at, next));
            }
        }
        all
    }

    /// Everything of a partition before `next` is committed.
    pub(super) fn done(&mut self, partitions: &mut Partitions, at: usize, next: i64) {
        let acknowledged = &mut partitions.all_mut()[at].acknowledged;
        if next > *acknowledged {
            *acknowledged = next;
            self.is_new = true;
        }
    }

    /// Tells the brokers when it is time.
    pub(super) fn keep(
        &mut self,
        consumer: &BaseConsumer<Context>,
        partitions: &mut Partitions,
        intake: &LinkIntake,
    ) {
        let interval = self.plan.settings.commit_interval_ms;
        if interval == 0 || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + Duration::from_millis(interval);
        // Of an earlier session, or of the time before a restart, no receipt tells.
        if let Some(settled) = intake.settled_positions() {
            for at in 0..partitions.all().len() {
                let (topic, partition) = partitions.place(at);
                let position = settled
                    .iter()
                    .find(|known| known.partition == partition && known.topic == topic);
                let next = position.map_or(0, |known| known.next);
                if next > 0 {
                    self.done(partitions, at, i64::try_from(next).unwrap_or(i64::MAX));
                }
            }
        }
        self.flush(consumer, partitions);
    }

    /// Tells the brokers now, without waiting for their answer.
    pub(super) fn flush(&mut self, consumer: &BaseConsumer<Context>, partitions: &Partitions) {
        if !self.is_new || self.plan.settings.commit_interval_ms == 0 {
            return;
        }
        self.is_new = false;
        let mut list = TopicPartitionList::new();
        for (at, partition) in partitions.all().iter().enumerate() {
            if partition.acknowledged >= 0 {
                let ((topic, number), next) = (partitions.place(at), partition.acknowledged);
                if let Err(error) = list.add_partition_offset(topic, number, Offset::Offset(next)) {
                    self.failed(&error);
                }
            }
        }
        match consumer.commit(&list, CommitMode::Async) {
            Ok(()) => self.sent += 1,
            Err(error) => self.failed(&error),
        }
    }

    /// Whether a commit has not been answered yet.
    pub(super) fn is_on_its_way(&self, heard: &Heard) -> bool {
        heard.commits() < self.sent
    }

    /// A commit did not arrive: it is for monitoring only, so nothing depends on it.
    pub(super) fn failed(&mut self, error: &KafkaError) {
        self.is_new = true;
        if !std::mem::replace(&mut self.complained, true) {
            let group = &self.plan.settings.group;
            tracing::warn!(group, %error, "could not commit the group's offsets; only monitoring \
                of lag depends on them");
        }
    }

    /// Tells how many records wait at the brokers behind what is committed here.
    pub(super) fn lag(
        &self,
        statistics: &Statistics,
        plan: &Plan,
        partitions: &Partitions,
        reporter: &Reporter,
    ) {
        let mut lag = 0;
        for (at, partition) in partitions.all().iter().enumerate() {
            let (topic, number) = partitions.place(at);
            let of_topic = statistics.topics.get(topic);
            let Some(known) = of_topic.and_then(|topic| topic.partitions.get(&number)) else {
                continue;
            };
            let end = match plan.settings.isolation {
                KafkaIsolation::Committed => known.ls_offset,
                KafkaIsolation::Uncommitted => known.hi_offset,
            };
            let done = partition.acknowledged.max(partition.begun);
            lag += u64::try_from(end.saturating_sub(done)).unwrap_or(0);
        }
        reporter.lag(lag);
    }
}
