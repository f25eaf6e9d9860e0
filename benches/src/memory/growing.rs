//! New twins at a steady pace, with a rest at each number of twins at which memory is read.
//!
//! Estimate: a message takes 28 bytes of the data set, since 1,024 share a payload; a wait is two
//! reads of the clock and a lock that nobody else takes, 60 ns, and a step one call of the system,
//! 0.2-0.4 us.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use twinflow::connectors::memory::{BufferMessage, Memory, MemoryBuffer, MemoryBuffers};
use twinflow::prelude::*;

use crate::args::MemoryOptions;
use crate::draw::Draws;
use crate::latency::Histogram;
use crate::payload::{Size, write_json};
use crate::record::{Format, Records};
use crate::rest::MODEL;
use crate::{Result, clock, meter, w1};

/// Messages for the first twin of each source, so that queues and buffers are there before memory
/// is read for the first time.
const WARM_UP: u64 = 20_000;
/// The rest at each stop.
const REST: Duration = Duration::from_millis(400);
const MESSAGES_OF_BUFFER: u64 = 1024;

/// Which message is for which twin, and when it is due. Sources are due together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) workers: usize,
    twins: u64,
    step: u64,
    /// New twins a second and source.
    rate: f64,
}

impl Schedule {
    pub(super) fn new(options: &MemoryOptions) -> Result<Self> {
        let MemoryOptions { twins, step, rate, workers, .. } = *options;
        if !twins.is_multiple_of(workers) || !step.is_multiple_of(workers) {
            return Err("--twins and --step are multiples of --workers".into());
        }
        let rate = rate as f64 / workers as f64;
        Ok(Self { workers: usize::try_from(workers)?, twins, step, rate })
    }

    /// Message `j` of a source: the number of its twin among those of the source.
    fn number(j: u64) -> u64 {
        j.saturating_sub(WARM_UP)
    }

    /// When message `j` of each source is due.
    fn due(&self, j: u64) -> Duration {
        let of_source = self.step / self.workers as u64;
        let rests = match j.checked_sub(WARM_UP) {
            Some(number) => 1 + u32::try_from(number / of_source).unwrap_or(u32::MAX),
            None => 0,
        };
        Duration::from_secs_f64(j as f64 / self.rate) + REST * rests
    }

    /// Where memory is read: twins, messages acknowledged by then, and when that is due.
    pub(super) fn stops(self) -> impl Iterator<Item = (u64, u64, Duration)> {
        let workers = self.workers as u64;
        let of = move |twins: u64| (twins, WARM_UP * workers + twins, self.due(twins / workers));
        let last = (!self.twins.is_multiple_of(self.step)).then_some(self.twins);
        (0..=self.twins / self.step).map(move |k| k * self.step).chain(last).map(of)
    }
}

/// The messages: one for each twin, behind those that warm up.
pub(super) fn new_twins(schedule: &Schedule) -> MemoryBuffers {
    let workers = schedule.workers as u64;
    let messages = WARM_UP + schedule.twins / workers;
    let source = |source: u64| {
        (0..messages)
            .step_by(MESSAGES_OF_BUFFER as usize)
            .map(|first| buffer(first..messages.min(first + MESSAGES_OF_BUFFER), source, workers))
            .collect()
    };
    let due = *schedule;
    Memory::buffers(MODEL, (0..workers).map(source).collect()).paced(move |j| due.due(j))
}

/// Messages whose payload is the same.
fn buffer(messages: std::ops::Range<u64>, source: u64, workers: u64) -> MemoryBuffer {
    let ids = Format::Json.layout(Size::Small).id;
    let mut bytes = Vec::with_capacity(Size::Small.bytes() + MESSAGES_OF_BUFFER as usize * ids);
    write_json(&mut bytes, messages.start, Draws::new(source).at(messages.start), Size::Small);
    let end = |bytes: &Vec<u8>| u32::try_from(bytes.len()).expect("a buffer is small");
    let payload = 0..end(&bytes);
    let places: Vec<BufferMessage> = messages
        .map(|j| {
            let start = end(&bytes);
            bytes.extend_from_slice(&Records::id(Schedule::number(j) * workers + source));
            BufferMessage { twin: start..end(&bytes), payload: payload.clone() }
        })
        .collect();
    MemoryBuffer::new(Bytes::from(bytes), places)
}

thread_local! {
    /// What this worker's thread had run when its last call ended.
    static RAN: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// How long new twins waited.
#[derive(Debug, Default)]
pub(super) struct Waits {
    start: OnceLock<Instant>,
    waits: Mutex<Histogram>,
    longest_step_nanos: AtomicU64,
    wrong: AtomicU64,
}

impl Waits {
    /// Sets the moment that due times count from.
    pub(super) fn start(&self, moment: Instant) {
        self.start.get_or_init(|| moment);
    }

    /// What was recorded since this was asked last.
    pub(super) fn take(&self) -> Histogram {
        std::mem::take(&mut self.waits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The most processor time that a worker took from the end of a call to the start of the next:
    /// never less than the slowest making of a twin, in which nothing else runs on the worker.
    pub(super) fn longest_step(&self) -> Duration {
        Duration::from_nanos(self.longest_step_nanos.load(Ordering::Relaxed))
    }

    /// Counts what this thread has run since its last call.
    fn step(&self) {
        if let Some(before) = RAN.get() {
            let step = meter::thread_ran().saturating_sub(before);
            let nanos = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
            self.longest_step_nanos.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    /// Twins that were not new when their first message came.
    pub(super) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }
}

/// W1, one message for each twin.
pub(super) struct Growing {
    pub(super) schedule: Schedule,
    pub(super) waits: Arc<Waits>,
}

impl MessageProcessor for Growing {
    type Model = w1::State;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut w1::State,
        readings: Messages<'_, w1::Reading<'_>>,
    ) -> ProcessingResult {
        self.waits.step();
        let number = Format::Json.twin(cx.twin().as_bytes()).unwrap_or(u64::MAX);
        // The first twin of each source has the messages that warm up, too.
        let first = number < self.schedule.workers as u64;
        let is_new = *twin == w1::State::default();
        for reading in readings {
            twin.apply(reading);
        }
        if !first {
            let j = WARM_UP + number / self.schedule.workers as u64;
            let due = self.waits.start.get().map(|start| *start + self.schedule.due(j));
            let wait =
                due.map_or(Duration::ZERO, |due| clock::now().saturating_duration_since(due));
            self.waits.waits.lock().unwrap_or_else(PoisonError::into_inner).record(wait);
            self.waits.wrong.fetch_add(u64::from(!is_new), Ordering::Relaxed);
        }
        RAN.set(Some(meter::thread_ran()));
        Ok(Outcome::Update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_the_rests() {
        let schedule = Schedule { workers: 2, twins: 2_500, step: 1_000, rate: 10.0 };
        let stops: Vec<_> = schedule.stops().collect();
        let twins: Vec<u64> = stops.iter().map(|stop| stop.0).collect();
        assert_eq!(twins, [0, 1_000, 2_000, 2_500]);
        assert_eq!(stops[1].1, 2 * WARM_UP + 1_000);
        let gap = |j| schedule.due(j) - schedule.due(j - 1);
        assert!(gap(WARM_UP) > REST && gap(WARM_UP + 500) > REST);
        assert!(gap(WARM_UP + 499) < REST);
        assert_eq!((Schedule::number(5), Schedule::number(WARM_UP + 7)), (0, 7));
    }
}
