//! The hot path allocates per epoch, not per message: fewer than 0.01 allocations a message at
//! 4,096 messages an epoch, counted over the whole process, engine and connector included.
//!
//! A binary of its own: the counting allocator is the whole process's.

use std::{alloc::System, time::Duration};

use serde::{Deserialize, Serialize};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use twinflow::{
    ConnectionSettings, Engine,
    connectors::memory::{BufferMessage, Memory, MemoryBuffer},
    prelude::*,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Messages of one delivery, and so of one epoch of a full link.
const EPOCH: usize = 4096;
const EPOCHS: usize = 200;
const TWINS: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Borrowed from the row: reading it allocates nothing.
#[derive(Deserialize)]
struct Reading<'m> {
    n: u64,
    unit: &'m str,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Sum {
    n: u64,
    letters: u64,
}

impl TwinModel for Sum {
    type Message<'m> = Reading<'m>;
}

/// Adds up; `OWNED` makes a text of its own of each message, as a careless model would.
struct Adder<const OWNED: bool>;

impl<const OWNED: bool> MessageProcessor for Adder<OWNED> {
    type Model = Sum;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        twin: &mut Sum,
        readings: Messages<'_, Reading<'_>>,
    ) -> ProcessingResult {
        for reading in readings {
            twin.n += reading.n;
            twin.letters += if OWNED {
                std::hint::black_box(reading.unit.to_owned()).len() as u64
            } else {
                reading.unit.len() as u64
            };
        }
        Ok(Outcome::Update)
    }
}

/// One buffer of an epoch's messages.
fn buffer(first: usize) -> MemoryBuffer {
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    for n in first..first + EPOCH {
        let mut put = |text: String| {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(text.as_bytes());
            start..bytes.len() as u32
        };
        let twin = put(format!("twin-{:07}", n % TWINS));
        let payload = put(format!(r#"{{"n":{n},"unit":"C"}}"#));
        messages.push(BufferMessage { twin, payload });
    }
    MemoryBuffer::new(bytes, messages)
}

/// Allocations a message over all epochs after the warm-up, and messages an epoch.
fn measure<const OWNED: bool>() -> (f64, f64) {
    let buffers = |epochs: usize| (0..epochs).map(|epoch| buffer(epoch * EPOCH)).collect();
    let connectors = [buffers(20), buffers(EPOCHS)].map(|all| Memory::buffers("sum", vec![all]));
    let [warm_up, measured] = connectors;
    let (warm, progress) = (warm_up.progress(), measured.progress());
    let waits = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
    let engine = Engine::builder()
        .workers(1)
        .memory_store()
        .model("sum", Adder::<OWNED>)
        .connection("warm-up", warm_up)
        .connection_with("measured", measured, waits)
        .start()
        .expect("the engine starts");
    assert!(warm.wait_acknowledged(PATIENCE), "{warm:?}");
    let epochs_before = engine.handle().statistics().epochs;

    let region = Region::new(ALLOCATOR);
    assert!(engine.handle().resume("measured"));
    assert!(progress.wait_acknowledged(PATIENCE), "{progress:?}");
    let change = region.change();

    let epochs = engine.handle().statistics().epochs - epochs_before;
    let messages = (EPOCHS * EPOCH) as f64;
    let sum = engine.twin::<Sum>("sum", "twin-0000007").expect("the twin is read");
    let sum = sum.expect("the twin exists");
    assert!(sum.n > 0 && sum.letters > 0);
    engine.stop().expect("the engine stops");
    let allocations = change.allocations + change.reallocations;
    (allocations as f64 / messages, messages / epochs as f64)
}

#[test]
fn an_epoch_allocates_and_a_message_does_not() {
    // One test, because everything that runs in this process is counted.
    let (allocations, epoch) = measure::<false>();
    println!("{allocations:.5} allocations a message, {epoch:.0} messages an epoch");
    assert!(epoch > 2048.0, "an epoch has {epoch} messages: too few to say anything");
    assert!(allocations < 0.01, "{allocations} allocations a message");

    let (allocations, _) = measure::<true>();
    assert!(allocations > 1.0, "one allocation a message is not seen: {allocations}");
}
