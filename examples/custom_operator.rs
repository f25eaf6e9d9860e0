//! An operator of one's own before and after the processor, on timely streams.
//!
//! Run it: `cargo run --example custom_operator --features testing`. It needs nothing else: the
//! messages come from the in-process broker. Empty readings are filtered out before the twins see
//! them, and a raw timely operator counts what passes.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use twinflow::{
    connectors::memory::Memory,
    operators::frame::Frame,
    prelude::*,
    timely::{
        container::NoopBuilder,
        dataflow::{Stream, channels::pact::Pipeline, operators::generic::operator::Operator},
    },
};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Meter {
    litres: u64,
}

impl TwinModel for Meter {
    type Message<'m> = u64;
}

struct Sum;

impl MessageProcessor for Sum {
    type Model = Meter;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        meter: &mut Meter,
        readings: Messages<'_, u64>,
    ) -> ProcessingResult {
        meter.litres += readings.iter().sum::<u64>();
        Ok(Outcome::Update)
    }
}

/// Counts rows as they pass. It gives every frame on at the epoch at which it came, and changes no
/// twin id: that is the whole contract of an operator in a feed (law S8).
fn count_rows<'scope>(
    rows: Stream<'scope, u64, Frame>,
    count: Arc<AtomicUsize>,
) -> Stream<'scope, u64, Frame> {
    rows.unary::<NoopBuilder<Frame>, _, _, _>(Pipeline, "count rows", move |initial, _info| {
        drop(initial);
        move |input, output| {
            input.for_each(|capability, frame| {
                count.fetch_add(frame.rows(), Ordering::Relaxed);
                output.session_with_builder(&capability).give_container(frame);
            });
        }
    })
}

fn main() -> twinflow::Result<()> {
    let memory = Memory::acknowledged(100);
    let broker = memory.broker();
    let passed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&passed);
    let engine = Engine::builder()
        .model("meter", Sum)
        .connection("plant", memory)
        .memory_store()
        .dataflow(move |feed| {
            let (models, counter) = (feed.models(), Arc::clone(&counter));
            feed.filter(|message| !message.payload.is_empty())
                .through_timely("count rows", move |rows| count_rows(rows, counter))
                .process(models)
                .settle()
        })
        .start()?;

    for reading in ["5", "", "7", "", "30"] {
        broker.send("meter", "kitchen", reading);
    }
    let all = broker.wait(Duration::from_secs(10), |broker| broker.acknowledged() == 5);
    println!("all five acknowledged: {all}");
    println!("rows that passed the filter: {}", passed.load(Ordering::Relaxed));
    let kitchen: Option<Meter> = engine.twin("meter", "kitchen")?;
    println!("litres in the kitchen: {}", kitchen.unwrap_or_default().litres);
    println!("{}", engine.stop()?);
    Ok(())
}
