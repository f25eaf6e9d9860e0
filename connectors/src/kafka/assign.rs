//! Which partitions this session reads, and where it begins in each (laws S2, D3).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{IsError, KafkaError, RDKafkaErrorCode as Code},
};

use super::{
    heard::Context,
    plan::Plan,
    settings::KafkaStart,
    trouble::{Said, of_topic, retryable},
};
use crate::{
    error::{ConnectorError, ErrorKind},
    link::{LinkIntake, Reporter},
    message::PartitionRef,
};

/// Where this process began in partitions of which nothing was taken yet. It outlives sessions:
/// with `start = "latest"` a reconnect would else skip what came meanwhile.
pub(super) type Begun = Arc<Mutex<HashMap<(String, i32), i64>>>;

/// A partition to read from an offset on.
#[derive(Debug)]
pub(super) struct Assigned {
    /// Number of the topic in the plan.
    pub(super) topic: usize,
    pub(super) partition: i32,
    pub(super) number: PartitionRef,
    /// The next offset to read.
    pub(super) next: i64,
    /// Whether that is a stored or taken position.
    pub(super) known: bool,
}

/// What a look at the brokers found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) new: Vec<Assigned>,
    /// Topics that are not there, or not readable at the moment, and why.
    pub(super) missing: Vec<String>,
}

/// The brokers, asked by a consumer that need not read anything.
#[derive(Clone, Copy)]
pub(super) struct Brokers<'f> {
    pub(super) plan: &'f Plan,
    pub(super) consumer: &'f BaseConsumer<Context>,
}

/// Finds partitions of this slot that are not in `have`, and where to begin in them.
pub(super) struct Finder<'f> {
    pub(super) brokers: Brokers<'f>,
    pub(super) begun: &'f Begun,
    pub(super) reporter: &'f Reporter,
    /// Whether the session has just begun; partitions that come later are read from their start.
    pub(super) first: bool,
}

impl Brokers<'_> {
    /// How many partitions a topic has, or why that cannot be said at the moment.
    pub(super) fn partitions(&self, topic: &str) -> Result<Result<i32, String>, ConnectorError> {
        let asked = self.consumer.fetch_metadata(Some(topic), self.plan.question());
        let metadata = asked.map_err(|error| {
            retryable(format!("ask the brokers for topic \"{topic}\"")).because(error)
        })?;
        let Some(about) = metadata.topics().iter().find(|about| about.name() == topic) else {
            return Ok(Err(format!("the brokers say nothing of topic \"{topic}\"")));
        };
        if let Some(error) = about.error().filter(IsError::is_error) {
            let error = KafkaError::MetadataFetch(error.into());
            let code = error.rdkafka_error_code();
            if code == Some(Code::TopicAuthorizationFailed)
                && let Some(over) = of_topic(topic, None, &error)
            {
                return Err(over);
            }
            return Ok(Err(match code {
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                    format!("topic \"{topic}\" does not exist; it is read once it does")
                }
                _ => format!("topic \"{topic}\": {error}"),
            }));
        }
        Ok(Ok(i32::try_from(about.partitions().len()).unwrap_or(i32::MAX)))
    }

    /// Asks for the offsets that belong to a time, the beginning or the end.
    pub(super) fn offsets(
        &self,
        wanted: &[(usize, i32)],
        at: Offset,
    ) -> Result<Vec<i64>, ConnectorError> {
        let list = self.list(wanted, at)?;
        let asked = self.consumer.offsets_for_times(list, self.plan.question());
        let asked = asked.map_err(|error| {
            retryable("ask the brokers where their logs begin and end").because(error)
        })?;
        self.read(wanted, &asked)
    }

    fn list(
        &self,
        wanted: &[(usize, i32)],
        offset: Offset,
    ) -> Result<TopicPartitionList, ConnectorError> {
        let mut list = TopicPartitionList::with_capacity(wanted.len());
        for (topic, partition) in wanted {
            let name = &self.plan.topics[*topic].name;
            list.add_partition_offset(name, *partition, offset)
                .map_err(|error| retryable("name a partition").because(error))?;
        }
        Ok(list)
    }

    /// Reads an answer in the order of the question; a partition without a leader is an error.
    fn read(
        &self,
        wanted: &[(usize, i32)],
        answer: &TopicPartitionList,
    ) -> Result<Vec<i64>, ConnectorError> {
        let mut by_name = BTreeMap::new();
        for element in answer.elements() {
            let name = element.topic().to_owned();
            if let Err(error) = element.error() {
                let (partition, said) = (element.partition(), Said(error.to_string()));
                let over = of_topic(&name, Some(partition), &error);
                return Err(over.unwrap_or_else(|| {
                    let doing = format!("ask for partition {partition} of topic \"{name}\"");
                    retryable(doing).because(said)
                }));
            }
            by_name.insert((name, element.partition()), element.offset().to_raw().unwrap_or(-1));
        }
        let offset = |(topic, partition): &(usize, i32)| {
            let name = self.plan.topics[*topic].name.clone();
            by_name.get(&(name, *partition)).copied().unwrap_or(-1)
        };
        Ok(wanted.iter().map(offset).collect())
    }
}

impl Finder<'_> {
    pub(super) fn find(
        &self,
        intake: &mut LinkIntake,
        have: &dyn Fn(usize, i32) -> bool,
    ) -> Result<Found, ConnectorError> {
        let mut found = Found::default();
        let mut wanted = Vec::new();
        let (slot, slots) = intake.slot_number();
        for (topic, plan) in self.brokers.plan.topics.iter().enumerate() {
            match self.brokers.partitions(&plan.name)? {
                Ok(count) => {
                    let own = |partition: &i32| (topic + *partition as usize) % slots == slot;
                    let new = (0..count).filter(own).filter(|number| !have(topic, *number));
                    wanted.extend(new.map(|partition| (topic, partition)));
                }
                Err(why) => found.missing.push(why),
            }
        }
        if !wanted.is_empty() {
            found.new = self.begin(intake, &wanted)?;
        }
        Ok(found)
    }

    /// Where to begin in each partition: the position that was taken or stored, else by `start`.
    fn begin(
        &self,
        intake: &mut LinkIntake,
        wanted: &[(usize, i32)],
    ) -> Result<Vec<Assigned>, ConnectorError> {
        let low = self.brokers.offsets(wanted, Offset::Beginning)?;
        let high = self.brokers.offsets(wanted, Offset::End)?;
        let start = self.start(wanted, &low, &high)?;
        let mut assigned = Vec::with_capacity(wanted.len());
        for (at, (topic, partition)) in wanted.iter().copied().enumerate() {
            let name = &self.brokers.plan.topics[topic].name;
            let (number, stored) = intake.partition(name, partition);
            let key = (name.clone(), partition);
            let begun = self.begun.lock().expect("only read and set").get(&key).copied();
            let (known, next) = match stored {
                Some(next) => (true, i64::try_from(next).unwrap_or(i64::MAX)),
                None => (false, begun.filter(|begun| *begun <= high[at]).unwrap_or(start[at])),
            };
            let next = self.check((name, partition), known, next, (low[at], high[at]))?;
            self.begun.lock().expect("only read and set").insert(key, next);
            assigned.push(Assigned { topic, partition, number, next, known });
        }
        Ok(assigned)
    }

    /// Compares a position with the ends of the log.
    fn check(
        &self,
        (topic, partition): (&str, i32),
        known: bool,
        next: i64,
        (low, high): (i64, i64),
    ) -> Result<i64, ConnectorError> {
        if next > high {
            // Law D3: only a person can say what became of that log.
            return Err(ConnectorError::new(
                ErrorKind::Rejected,
                format!(
                    "go on at offset {next} of partition {partition} of topic \"{topic}\": its \
                     log ends at {high}; the topic was made anew, or has lost records; stop and \
                     use twinflow connections reset"
                ),
            ));
        }
        if known && next < low {
            let lost = low - next;
            let note = format!(
                "partition {partition} of topic \"{topic}\" has lost offsets {next} to {}: they \
                 were removed there before they were read",
                low - 1
            );
            let to = low - 1;
            tracing::error!(
                topic,
                partition,
                from = next,
                to,
                "records were removed before they were read: retention is shorter than we were away"
            );
            self.reporter.lost(lost.cast_unsigned(), note);
        }
        Ok(next.max(low))
    }

    /// Where `start` begins; what came into being while we ran is read from its start.
    fn start(
        &self,
        wanted: &[(usize, i32)],
        low: &[i64],
        high: &[i64],
    ) -> Result<Vec<i64>, ConnectorError> {
        let settings = &self.brokers.plan.settings;
        if !self.first {
            return Ok(low.to_vec());
        }
        match settings.start {
            KafkaStart::Earliest => Ok(low.to_vec()),
            KafkaStart::Latest => Ok(high.to_vec()),
            KafkaStart::Timestamp => {
                let millis = settings.start_timestamp_ms.unwrap_or_default();
                let millis = i64::try_from(millis).unwrap_or(i64::MAX);
                let at = self.brokers.offsets(wanted, Offset::Offset(millis))?;
                // Behind the newest record there is no offset for a time.
                Ok(at.iter().zip(high).map(|(at, end)| if *at < 0 { *end } else { *at }).collect())
            }
            KafkaStart::Committed => {
                let list = self.brokers.list(wanted, Offset::Invalid)?;
                let asked =
                    self.brokers.consumer.committed_offsets(list, self.brokers.plan.question());
                let asked = asked.map_err(|error| {
                    let group = &settings.group;
                    retryable(format!("ask for the offsets of group \"{group}\"")).because(error)
                })?;
                let at = self.brokers.read(wanted, &asked)?;
                // The group may know less, or more, than the log has.
                let in_log = |at: usize, offset: i64| {
                    if offset < 0 { low[at] } else { offset.clamp(low[at], high[at]) }
                };
                Ok(at.into_iter().enumerate().map(|(at, offset)| in_log(at, offset)).collect())
            }
        }
    }
}
