//! What the broker keeps: a log per partition, or a queue of unacknowledged messages.

use std::{collections::VecDeque, sync::Arc};

use super::MemoryMessage;
use crate::{
    link::Delivery,
    message::{Message, PartitionRef},
    route::twin_hash,
};

/// How far a delivery goes: partition and next offset, or 0 and the number of messages.
pub(super) type Mark = (usize, u64);

/// The messages of a broker; bounded by what its test sends.
pub(super) enum Store {
    Replayable { partitions: Vec<Partition>, turn: usize },
    Acknowledged(Window),
}

#[derive(Default)]
pub(super) struct Partition {
    log: Vec<Arc<MemoryMessage>>,
    /// The next offset that the open session delivers.
    next: u64,
    /// The offset that the connector committed.
    committed: u64,
}

impl Partition {
    fn left(&self) -> usize {
        self.log.len() - self.next as usize
    }
}

pub(super) struct Window {
    size: usize,
    /// Everything unacknowledged, oldest first; of these the open session has `delivered`.
    held: VecDeque<Arc<MemoryMessage>>,
    delivered: usize,
    acknowledged: u64,
}

impl Store {
    pub(super) fn replayable(partitions: usize) -> Self {
        let partitions = (0..partitions.max(1)).map(|_| Partition::default()).collect();
        Self::Replayable { partitions, turn: 0 }
    }

    pub(super) fn acknowledged(window: usize) -> Self {
        let (size, held) = (window.max(1), VecDeque::new());
        Self::Acknowledged(Window { size, held, delivered: 0, acknowledged: 0 })
    }

    pub(super) fn put(&mut self, message: MemoryMessage) {
        match self {
            Self::Replayable { partitions, .. } => {
                let by_twin = twin_hash(message.twin.as_bytes()) as usize % partitions.len();
                let number = message.partition.unwrap_or(by_twin);
                partitions[number].log.push(Arc::new(message));
            }
            Self::Acknowledged(window) => window.held.push_back(Arc::new(message)),
        }
    }

    /// Where each partition's log ends; none for a queue.
    pub(super) fn ends(&self) -> Vec<u64> {
        match self {
            Self::Replayable { partitions, .. } => {
                partitions.iter().map(|partition| partition.log.len() as u64).collect()
            }
            Self::Acknowledged(_) => Vec::new(),
        }
    }

    /// A new session: logs go on at `positions`, a queue starts with what is unacknowledged.
    pub(super) fn start_session(&mut self, positions: &[u64]) {
        match self {
            Self::Replayable { partitions, .. } => {
                for (partition, position) in partitions.iter_mut().zip(positions) {
                    partition.next = *position;
                }
            }
            Self::Acknowledged(window) => window.delivered = 0,
        }
    }

    /// Whether the session may deliver something now.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Replayable { .. } => self.backlog() > 0,
            Self::Acknowledged(window) => window.delivered < window.held.len().min(window.size),
        }
    }

    /// Fills a delivery and says how far it goes.
    pub(super) fn fill(
        &mut self,
        delivery: &mut Delivery<'_>,
        numbers: &[PartitionRef],
    ) -> Vec<Mark> {
        match self {
            Self::Replayable { partitions, turn } => {
                *turn += 1;
                let (count, mut marks) = (partitions.len(), Vec::new());
                for number in (0..count).map(|number| (number + *turn) % count) {
                    let partition = &mut partitions[number];
                    let before = partition.next;
                    while let Some(message) = partition.log.get(partition.next as usize) {
                        if !push(delivery, message, Some((numbers[number], partition.next))) {
                            break;
                        }
                        partition.next += 1;
                    }
                    if partition.next > before {
                        marks.push((number, partition.next));
                    }
                }
                marks
            }
            Self::Acknowledged(window) => {
                let before = window.delivered;
                let allowed = window.held.range(before..window.held.len().min(window.size));
                let pushed = allowed.take_while(|message| push(delivery, message, None)).count();
                window.delivered += pushed;
                vec![(0, pushed as u64)]
            }
        }
    }

    /// The connector acknowledges a delivery.
    pub(super) fn settle(&mut self, marks: &[Mark]) {
        for (number, mark) in marks {
            match self {
                Self::Replayable { partitions, .. } => {
                    let committed = &mut partitions[*number].committed;
                    *committed = (*committed).max(*mark);
                }
                Self::Acknowledged(window) => {
                    let count = *mark as usize;
                    assert!(count <= window.delivered, "only what was delivered is acknowledged");
                    window.held.drain(..count);
                    window.delivered -= count;
                    window.acknowledged += mark;
                }
            }
        }
    }

    /// How many messages the open session has not delivered yet.
    pub(super) fn backlog(&self) -> usize {
        match self {
            Self::Replayable { partitions, .. } => partitions.iter().map(Partition::left).sum(),
            Self::Acknowledged(window) => window.held.len() - window.delivered,
        }
    }

    /// How many messages are acknowledged, per partition.
    pub(super) fn committed(&self) -> Vec<u64> {
        match self {
            Self::Replayable { partitions, .. } => {
                partitions.iter().map(|partition| partition.committed).collect()
            }
            Self::Acknowledged(window) => vec![window.acknowledged],
        }
    }
}

fn push(
    delivery: &mut Delivery<'_>,
    message: &MemoryMessage,
    position: Option<(PartitionRef, u64)>,
) -> bool {
    let headers: Vec<_> = message.headers.iter().map(|(k, v)| (&**k, &**v)).collect();
    let names: Vec<_> = message.names.iter().map(|(k, v)| (&**k, &**v)).collect();
    delivery.push(&Message {
        headers: &headers,
        names: &names,
        id: message.id.as_deref(),
        position,
        source_time: message.source_time,
        ..Message::new(&message.model, &message.twin, &message.payload)
    })
}
