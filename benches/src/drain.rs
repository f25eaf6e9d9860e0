//! A broker's backlog drained by its bare client and through the engine, in turn: what is the same
//! for all brokers.
//!
//! Estimate: the engine's own part is the copy into the row and the hash, 40-60 ns a message on the
//! edge, and 100-150 ns on the worker; each broker's program has the client's part.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use twinflow::connectors::Connector;
use twinflow::prelude::*;
use twinflow::{ConnectionSettings, Engine};

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
    let seen = Arc::<Seen>::default();
    let waiting = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
    let engine = Engine::builder()
        .memory_store()
        .workers(1)
        .model(MODEL, Opaque { seen: Arc::clone(&seen), messages })
        .connection_with("drained", connector, waiting)
        .start()?;
    let meter = Meter::start();
    engine.handle().resume("drained");
    let limit = clock::now() + PATIENCE;
    while seen.last.get().is_none() {
        if clock::now() > limit {
            let count = seen.count.load(Ordering::Acquire);
            return Err(format!("{count} messages after {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut usage = meter.stop();
    if let (Some(first), Some(last)) = (seen.first.get(), seen.last.get()) {
        usage.seconds = last.duration_since(*first).as_secs_f64();
    }
    engine.stop()?;
    Ok(Drained { usage, sum: seen.sum.load(Ordering::Acquire) })
}

/// What the processors of a run have seen.
#[derive(Default)]
struct Seen {
    count: AtomicU64,
    sum: AtomicU64,
    first: OnceLock<Instant>,
    last: OnceLock<Instant>,
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Twin {
    messages: u64,
}

impl TwinModel for Twin {
    type Message<'m> = RawMessage<'m>;
}

struct Opaque {
    seen: Arc<Seen>,
    messages: u64,
}

impl MessageProcessor for Opaque {
    type Model = Twin;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        twin: &mut Twin,
        messages: Messages<'_, RawMessage<'_>>,
    ) -> ProcessingResult {
        self.seen.first.get_or_init(clock::now);
        let (mut sum, mut count) = (0_u64, 0);
        for message in messages {
            sum = sum.wrapping_add(number(message.payload));
            count += 1;
        }
        twin.messages += count;
        self.seen.sum.fetch_add(sum, Ordering::Relaxed);
        if self.seen.count.fetch_add(count, Ordering::AcqRel) + count == self.messages {
            self.seen.last.get_or_init(clock::now);
        }
        Ok(Outcome::Update)
    }
}
