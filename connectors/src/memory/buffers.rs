//! Messages that lie ready in shared buffers: what a network client hands over, without network.
//!
//! Each partition is a slot of its own with its link on a fixed worker (law S1). A message costs
//! the copy into its row and nothing else: no lock, no task switch, no owned message.

mod pace;
mod progress;
mod run;

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;

pub use progress::BuffersProgress;

use crate::{
    Connector, ConnectorAbout, ConnectorInfo, Guarantee,
    error::ConnectorError,
    link::{Feedback, Link},
    message::Format,
    prefetch::prefetch_bytes,
};

/// Where one message lies in its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferMessage {
    /// The twin's id, UTF-8.
    pub twin: Range<u32>,
    /// The payload.
    pub payload: Range<u32>,
}

/// A shared buffer of many messages; a clone costs two counters.
#[derive(Clone)]
pub struct MemoryBuffer {
    bytes: Bytes,
    messages: Arc<[BufferMessage]>,
}

impl MemoryBuffer {
    /// A buffer and the places of its messages, in order.
    ///
    /// # Panics
    ///
    /// If a message lies outside the buffer.
    pub fn new(bytes: impl Into<Bytes>, messages: impl Into<Arc<[BufferMessage]>>) -> Self {
        let (bytes, messages) = (bytes.into(), messages.into());
        let inside = |range: &Range<u32>| bytes.get(range.start as usize..range.end as usize);
        for (index, message) in messages.iter().enumerate() {
            let lies = inside(&message.twin).and(inside(&message.payload)).is_some();
            assert!(lies, "message {index} lies outside its buffer of {} bytes", bytes.len());
        }
        Self { bytes, messages }
    }

    /// How many messages it has.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Asks for a payload that will be copied soon. A network client's would be in the caches,
    /// where the kernel has just put it; these have lain in memory.
    #[inline]
    fn ask_for(&self, index: usize) {
        if let Some(BufferMessage { payload, .. }) = self.messages.get(index) {
            prefetch_bytes(&self.bytes[payload.start as usize..payload.end as usize], LINES);
        }
    }

    fn get(&self, index: usize) -> (&[u8], &[u8]) {
        let part = |range: &Range<u32>| &self.bytes[range.start as usize..range.end as usize];
        let message = &self.messages[index];
        (part(&message.twin), part(&message.payload))
    }
}

impl fmt::Debug for MemoryBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBuffer").field("messages", &self.len()).finish_non_exhaustive()
    }
}

/// How many messages ahead a payload is asked for, and how much of it.
const AHEAD: usize = 16;
const LINES: usize = 4;

type Due = dyn Fn(u64) -> Duration + Send + Sync;
type OnAcknowledged = dyn Fn(usize, u64) + Send + Sync;
type OnFeedback = dyn Fn(&Feedback) + Send + Sync;

/// What all slots of one connection share.
struct Shared {
    model: String,
    partitions: Vec<Vec<MemoryBuffer>>,
    format: Format,
    due: Option<Box<Due>>,
    on_acknowledged: Option<Box<OnAcknowledged>>,
    on_feedback: Option<Box<OnFeedback>>,
    progress: BuffersProgress,
}

/// A connection that hands over buffers, as fast as its links take them or at fixed times.
///
/// Positions travel with the rows, as with [`Memory::replayable`](super::Memory::replayable): the
/// offset of a message is its number in its partition. `run` returns once all is acknowledged.
pub struct MemoryBuffers {
    shared: Arc<Shared>,
    slot: usize,
}

impl MemoryBuffers {
    pub(super) fn new(model: &str, partitions: Vec<Vec<MemoryBuffer>>) -> Self {
        let sizes = partitions.iter().map(|buffers| buffers.iter().map(MemoryBuffer::len).sum());
        let progress = BuffersProgress::new(sizes);
        let shared = Shared {
            model: model.to_owned(),
            partitions,
            format: Format::Json,
            due: None,
            on_acknowledged: None,
            on_feedback: None,
            progress,
        };
        Self { shared: Arc::new(shared), slot: 0 }
    }

    fn set(mut self, set: impl FnOnce(&mut Shared)) -> Self {
        set(Arc::get_mut(&mut self.shared).expect("settings come before the slots"));
        self
    }

    /// How payloads are meant; JSON if nobody says otherwise.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        self.set(|shared| shared.format = format)
    }

    /// Message `index` of each partition falls due `due(index)` after the start, whether or not
    /// earlier ones are done. `due` never goes back.
    #[must_use]
    pub fn paced(self, due: impl Fn(u64) -> Duration + Send + Sync + 'static) -> Self {
        self.set(|shared| shared.due = Some(Box::new(due)))
    }

    /// Called as soon as the connector is told: partition, and how many of its messages are
    /// acknowledged now. It should not take long.
    #[must_use]
    pub fn on_acknowledged(self, called: impl Fn(usize, u64) + Send + Sync + 'static) -> Self {
        self.set(|shared| shared.on_acknowledged = Some(Box::new(called)))
    }

    /// Called with each feedback, which is then confirmed. It should not take long.
    #[must_use]
    pub fn on_feedback(self, called: impl Fn(&Feedback) + Send + Sync + 'static) -> Self {
        self.set(|shared| shared.on_feedback = Some(Box::new(called)))
    }

    /// How far it is, for the world outside.
    pub fn progress(&self) -> BuffersProgress {
        self.shared.progress.clone()
    }
}

impl fmt::Debug for MemoryBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBuffers")
            .field("slot", &self.slot)
            .field("progress", &self.shared.progress)
            .finish_non_exhaustive()
    }
}

impl Connector for MemoryBuffers {
    fn about(&self) -> ConnectorAbout {
        ConnectorAbout { kind: "memory", address: None }
    }

    fn slots(&self, _workers: usize) -> usize {
        self.shared.partitions.len().max(1)
    }

    fn for_slot(&mut self, number: usize) -> Option<Self> {
        let shared = Arc::clone(&self.shared);
        (number < shared.partitions.len()).then_some(Self { shared, slot: number })
    }

    fn info(&self) -> ConnectorInfo {
        let (format, guarantee) = (self.shared.format, Guarantee::ExactlyOnce);
        ConnectorInfo { format, guarantee, ..ConnectorInfo::default() }
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        run::run(&self.shared, self.slot, link).await
    }
}
