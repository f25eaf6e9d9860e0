//! The records of a data set as the memory connector hands them over: shared buffers of many
//! messages, id and payload as ranges, as a network client would have them.
//!
//! Estimate: made before the clock starts; 16 bytes of ranges are read for each message, 2 ns.

use std::sync::{Arc, Mutex, PoisonError};

use twinflow::connectors::memory::{BufferMessage, Memory, MemoryBuffer, MemoryBuffers};

use super::due::Due;
use crate::clock;
use crate::data::DataSet;
use crate::latency::Histogram;
use crate::record::Partition;
use crate::rest::MODEL;

/// How many records share a buffer.
const RECORDS: usize = 1024;

/// The records, as fast as they are taken.
pub(super) fn buffers(data: &DataSet) -> MemoryBuffers {
    let partition = |of: &Partition| {
        let once: Vec<_> = of.chunks(RECORDS).map(|part| buffer(&part)).collect();
        std::iter::repeat_n(once, of.passes()).flatten().collect()
    };
    Memory::buffers(MODEL, data.partitions().iter().map(partition).collect())
}

/// One buffer of messages.
fn buffer(part: &Partition) -> MemoryBuffer {
    let layout = part.layout();
    let messages: Vec<BufferMessage> = (0..part.len())
        .map(|i| {
            let id = i * layout.stride();
            let payload = id + layout.id + layout.gap;
            let range = |start: usize, len: usize| {
                let end = u32::try_from(start + len).expect("a buffer is small");
                end - u32::try_from(len).expect("a part of it too")..end
            };
            BufferMessage { twin: range(id, layout.id), payload: range(payload, layout.payload) }
        })
        .collect();
    MemoryBuffer::new(part.bytes(), messages)
}

/// From due to acknowledged, told by the connector.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Mutex<(Vec<u64>, Histogram)>);

impl Acknowledged {
    /// All latencies so far.
    pub(super) fn latency(&self) -> Histogram {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn note(&self, due: &Due, source: usize, up_to: u64) {
        let elapsed = due.elapsed(clock::now());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (counts, latency) = &mut *known;
        if counts.len() <= source {
            counts.resize(source + 1, 0);
        }
        for j in counts[source]..up_to {
            latency.record(elapsed.saturating_sub(due.after(j)));
        }
        counts[source] = counts[source].max(up_to);
    }
}

/// The records, each when it is due; what is acknowledged goes into `acknowledged`.
pub(super) fn paced(
    data: &DataSet,
    due: &Arc<Due>,
    acknowledged: &Arc<Acknowledged>,
) -> MemoryBuffers {
    let (times, noted, acknowledged) = (Arc::clone(due), Arc::clone(due), Arc::clone(acknowledged));
    buffers(data)
        .paced(move |j| times.after(j))
        .on_acknowledged(move |source, up_to| acknowledged.note(&noted, source, up_to))
}
