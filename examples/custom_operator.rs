//! Operators of one's own before and after the processor.
//!
//! Run it: `cargo run --example custom_operator`. It needs nothing else: the messages come from the
//! in-process broker. Empty readings are filtered out and gallons become litres before the twins
//! see them, and a raw timely operator counts what passes. Behind the twins each meter that passes
//! 40 litres is told to the connection "office".

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

/// Runs the example; a test of the repository does, too.
pub(crate) fn main() -> twinflow::Result<()> {
    let (memory, office) = (Memory::acknowledged(100), Memory::acknowledged(100));
    let (broker, at_office) = (memory.broker(), office.broker());
    let passed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&passed);
    let engine = Engine::builder()
        .model("meter", Sum)
        .connection("plant", memory)
        .connection("office", office)
        .memory_store()
        .dataflow(move |feed| {
            let (models, counter) = (feed.models(), Arc::clone(&counter));
            feed.filter(|message| !message.payload.is_empty())
                .map(|_message, gallons: u64| Ok(gallons * 4))
                .through_timely("count rows", move |rows| count_rows(rows, counter))
                .process(models)
                .changes::<Meter>("meter", |changes| {
                    changes.send_to("office", |change| {
                        let litres =
                            |meter: &Option<Meter>| meter.as_ref().map_or(0, |it| it.litres);
                        let (was, is) = (litres(&change.was), litres(&change.is));
                        (was <= 40 && is > 40).then(|| format!("{} has {is} litres", change.twin))
                    });
                })
                .settle()
        })
        .start()?;

    for reading in ["5", "", "7", "", "30"] {
        broker.send("meter", "kitchen", reading);
    }
    let limit = Duration::from_secs(10);
    assert!(broker.wait(limit, |broker| broker.acknowledged() == 5));
    println!("all five are acknowledged");
    let passed = passed.load(Ordering::Relaxed);
    println!("rows that passed the filter: {passed}");
    assert_eq!((passed, engine.handle().statistics().pipeline_dropped), (3, 2));
    let kitchen: Option<Meter> = engine.twin("meter", "kitchen")?;
    let litres = kitchen.unwrap_or_default().litres;
    println!("litres in the kitchen: {litres}");
    assert_eq!(litres, 168);
    let mut told = Vec::new();
    assert!(at_office.wait(limit, |office| {
        told.extend(office.feedback());
        !told.is_empty()
    }));
    println!("the office was told: {}", String::from_utf8_lossy(&told[0].payload));
    println!("{}", engine.stop()?);
    Ok(())
}
