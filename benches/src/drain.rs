//! A broker's backlog drained by its bare client and through the engine, in turn: what is the same
//! for all brokers.
//!
//! Estimate: the engine's own part is the copy into the row and the hash, 40-60 ns a message on the
//! edge, and 100-150 ns on the worker; each broker's program has the client's part.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use twinflow::connectors::Connector;
use twinflow::operators::model::{Grouping, MessageOf, Rollback};
use twinflow::prelude::*;
use twinflow::{ConnectionSettings, Engine, EngineBuilder};

use crate::meter::{Meter, Usage};
use crate::{Result, clock};

/// No run takes longer.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// The model that the connection's messages are for.
pub const MODEL: &str = "opaque";

/// What draining once took, from the first message to the last.
#[derive(Debug)]
pub struct Drained {
    /// Time and processor time.
    pub usage: Usage,
    /// Sum of the numbers in the payloads.
    pub sum: u64,
}

impl Drained {
    fn rate(&self, messages: u64) -> f64 {
        messages as f64 / self.usage.seconds
    }
}

/// The number at the start of a payload.
pub fn number(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Runs the bare client and the engine in turn and prints what each took, `unit` being what is
/// drained; both must have got the same.
///
/// # Errors
///
/// A run that fails, and sums that differ.
pub fn in_turn(
    runs: usize,
    messages: u64,
    unit: &str,
    mut bare: impl FnMut() -> Result<Drained>,
    mut engine: impl FnMut() -> Result<Drained>,
) -> Result<()> {
    let mut ratios = Vec::new();
    for number in 1..=runs {
        let (bare, engine) = (bare()?, engine()?);
        if bare.sum != engine.sum {
            return Err(format!("check: {} and {} are not the same", bare.sum, engine.sum).into());
        }
        for (name, run) in [("bare", &bare), ("twinflow", &engine)] {
            let (rate, cpu) = (run.rate(messages), run.usage.cpu_s);
            println!("run {number} {name:<8} {rate:>9.0} {unit}/s  cpu {cpu:.2} s");
        }
        ratios.push(engine.rate(messages) / bare.rate(messages));
    }
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let median = ratios[ratios.len() / 2];
    println!("ratio median {median:.2}, {least:.2} to {most:.2}, check ok");
    Ok(())
}

/// Drains through the engine: memory store, one worker, opaque payloads.
///
/// # Errors
///
/// An engine that does not start or stop, and messages that do not come within [`PATIENCE`].
pub fn engine(connector: impl Connector, messages: u64) -> Result<Drained> {
    let sum = Arc::<AtomicU64>::default();
    let builder = Engine::builder().memory_store().workers(1);
    let processor = Opaque { sum: Arc::clone(&sum) };
    let usage = through_engine(builder, MODEL, processor, connector, messages)?;
    Ok(Drained { usage, sum: sum.load(Ordering::Acquire) })
}

/// Drains so many messages of one model through the engine that `builder` makes. The clock runs
/// from the first call to the epoch that has the last message, looked for every millisecond.
///
/// # Errors
///
/// As [`engine`], and messages that the processor does not take.
pub fn through_engine(
    builder: EngineBuilder,
    model: &str,
    processor: impl MessageProcessor,
    connector: impl Connector,
    messages: u64,
) -> Result<Usage> {
    let first = Arc::<OnceLock<Instant>>::default();
    let waiting = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
    let engine = builder
        .model(model, Watched { inner: processor, first: Arc::clone(&first) })
        .connection_with("drained", connector, waiting)
        .start()?;
    let meter = Meter::start();
    engine.handle().resume("drained");
    let limit = clock::now() + PATIENCE;
    loop {
        let seen = engine.handle().statistics().models.swap_remove(0);
        if seen.failed > 0 {
            return Err(format!("{} messages became dead letters", seen.failed).into());
        }
        if seen.messages >= messages {
            break;
        }
        if clock::now() > limit {
            return Err(format!("{} messages after {PATIENCE:?}", seen.messages).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let last = clock::now();
    let mut usage = meter.stop();
    if let Some(first) = first.get() {
        usage.seconds = last.duration_since(*first).as_secs_f64();
    }
    engine.stop()?;
    Ok(usage)
}

/// A processor whose first call is noted.
struct Watched<P> {
    inner: P,
    first: Arc<OnceLock<Instant>>,
}

impl<P: MessageProcessor> MessageProcessor for Watched<P> {
    type Model = P::Model;
    const GROUPING: Grouping = P::GROUPING;
    const ROLLBACK: Rollback = P::ROLLBACK;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        twin: &mut P::Model,
        messages: Messages<'_, MessageOf<'_, P>>,
    ) -> ProcessingResult {
        self.first.get_or_init(clock::now);
        self.inner.process_messages(cx, twin, messages)
    }
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Twin {
    messages: u64,
}

impl TwinModel for Twin {
    type Message<'m> = RawMessage<'m>;
}

/// Adds the numbers of all payloads.
struct Opaque {
    sum: Arc<AtomicU64>,
}

impl MessageProcessor for Opaque {
    type Model = Twin;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut Twin,
        messages: Messages<'_, RawMessage<'_>>,
    ) -> ProcessingResult {
        let mut sum = 0_u64;
        for message in messages {
            sum = sum.wrapping_add(number(message.payload));
            twin.messages += 1;
        }
        self.sum.fetch_add(sum, Ordering::Relaxed);
        Ok(Outcome::Update)
    }
}
