//! One topic, one connection to it, and a dataflow that the test moves by hand.

use std::time::Duration;

use twinflow_connectors::{
    Connector, ConnectorInfo,
    conformance::{Dataflow, MODEL},
    frame::FrameView,
    kafka::{Kafka, KafkaSettings},
    link::{Condition, Receipt, Slot},
    row::RowKind,
};

use crate::{
    place::{Far, name},
    server,
};

/// How long anything may take; machines of tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A topic on the shared broker and the names that go with it.
pub(crate) struct Stage {
    pub(crate) far: Far,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) partitions: i32,
}

/// A row as the dataflow sees it.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) kind: RowKind,
    pub(crate) twin: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) time: Option<u64>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) reason: Option<String>,
    pub(crate) position: u64,
    pub(crate) receipt: Receipt,
}

impl Stage {
    pub(crate) async fn new(partitions: i32) -> Self {
        Self::with(partitions, &[]).await
    }

    /// The same with settings of the topic.
    pub(crate) async fn with(partitions: i32, settings: &[(&str, &str)]) -> Self {
        let far = Far::new(&server::shared().bootstrap());
        let topic = name("topic");
        far.make_topic(&topic, partitions, settings).await;
        Self { far, topic, group: name("group"), partitions }
    }

    /// A connector of this topic, on the shared broker unless `change` says otherwise.
    pub(crate) fn kafka(&self, change: impl FnOnce(&mut KafkaSettings)) -> Kafka {
        let kafka = Kafka::brokers([server::shared().bootstrap()]).topic(&self.topic, MODEL);
        let quick = kafka.with(|settings| {
            settings.group.clone_from(&self.group);
            settings.commit_interval_ms = 50;
            settings.discovery_interval_ms = 200;
            settings.statistics_interval_ms = 200;
            settings.connect_timeout_ms = 3000;
        });
        quick.with(change).connect().unwrap()
    }

    /// Writes a record with its number as payload and returns once the broker has it.
    pub(crate) fn put(&self, partition: i32, key: &str, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let value = number.to_string();
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            self.far.put(&self.topic, Some(partition), key, value, &[]);
        }
        self.far.flush();
    }

    /// The offsets that the group committed, -1 where none.
    pub(crate) fn committed(&self) -> Vec<i64> {
        self.far.committed(&self.group, &self.topic, self.partitions)
    }

    /// Waits until the group's offsets are these.
    pub(crate) async fn until_committed(&self, offsets: &[i64]) {
        for _ in 0..300 {
            if self.committed() == offsets {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("committed are {:?}, not {offsets:?}", self.committed());
    }
}

/// A dataflow for a connector.
pub(crate) fn dataflow(kafka: &Kafka) -> Dataflow {
    Dataflow::new(kafka.info(), PATIENCE)
}

/// One that restores the positions of another, as a restart does.
pub(crate) fn restarted(before: &Dataflow) -> Dataflow {
    let next = Dataflow::new(ConnectorInfo::default(), PATIENCE);
    for position in before.positions() {
        next.slot.restore_position(position);
    }
    next
}

/// Takes until there are at least `count` rows.
pub(crate) async fn take(dataflow: &Dataflow, count: usize) -> Vec<Arrived> {
    let mut rows = Vec::new();
    dataflow
        .until("rows come", |slot| {
            rows.extend(take_now(slot));
            rows.len() >= count
        })
        .await;
    rows
}

/// Takes what is there.
pub(crate) fn take_now(slot: &Slot) -> Vec<Arrived> {
    let mut rows = Vec::new();
    while let Some(taken) = slot.take() {
        for frame in &taken.frames {
            let view = FrameView::new(&frame.directory, &frame.body);
            rows.extend((0..view.rows()).map(|index| view.row(index)).map(|row| {
                let attributes = row.attributes();
                let headers = attributes.headers();
                Arrived {
                    kind: row.kind(),
                    twin: row.id().to_owned(),
                    payload: row.payload().to_vec(),
                    id: attributes.message_id().map(<[u8]>::to_vec),
                    time: attributes.source_time().map(|time| time.as_millis()),
                    headers: headers.map(|(key, value)| (key.into(), value.to_vec())).collect(),
                    reason: attributes.reason().map(str::to_owned),
                    position: row.position(),
                    receipt: taken.receipt,
                }
            }));
        }
    }
    rows
}

/// The payloads as numbers, in order of arrival.
pub(crate) fn numbers(rows: &[Arrived]) -> Vec<u32> {
    let number = |row: &Arrived| std::str::from_utf8(&row.payload).unwrap().parse().unwrap();
    rows.iter().map(number).collect()
}

/// Acknowledges everything up to the newest row.
pub(crate) fn acknowledge(dataflow: &Dataflow, rows: &[Arrived]) {
    dataflow.acknowledge(rows.last().unwrap().receipt);
}

/// Waits until the connector says this of its upstream, and gives its text.
pub(crate) async fn until(
    dataflow: &Dataflow,
    what: &str,
    mut holds: impl FnMut(&Condition) -> bool,
) -> String {
    let mut last = Condition::Running;
    for _ in 0..600 {
        last = dataflow.slot.report.condition();
        if holds(&last) {
            return match last {
                Condition::Running => String::new(),
                Condition::Connecting(text) | Condition::Degraded(text) => text,
            };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: the connector still says {last:?}");
}

/// Waits until the connector has found its partitions.
pub(crate) async fn until_reading(dataflow: &Dataflow) {
    let found = || dataflow.slot.partition(0).is_some();
    until(dataflow, "it reads", |now| found() && *now == Condition::Running).await;
}
