//! How many turbines each region has, and what they give together, at every moment. Run it:
//! `cargo run --example live_view --features live-views`. It needs nothing else: the messages come
//! from the in-process broker.
//!
//! A server of your own takes the same views (`twinflow::Server::new().view(..)`) and shows them
//! under `/v1/views/{name}`, with the changes as server-sent events under `/changes`.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use twinflow::{View, ViewState, connectors::memory::Memory, prelude::*};

/// What a turbine reports, and its state: the last report.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Turbine {
    region: String,
    kilowatts: f64,
}

impl TwinModel for Turbine {
    type Message<'m> = Turbine;
}

struct Last;

impl MessageProcessor for Last {
    type Model = Turbine;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        turbine: &mut Turbine,
        reports: Messages<'_, Turbine>,
    ) -> ProcessingResult {
        if let Some(last) = reports.last() {
            *turbine = last.clone();
        }
        Ok(Outcome::Update)
    }
}

fn region(_id: &str, turbine: &Turbine) -> Option<String> {
    Some(turbine.region.clone())
}

fn show(view: &ViewState, what: &str) {
    println!("epoch {}, {what}:", view.epoch);
    for group in &view.groups {
        let (count, sum) = (group.count, group.sum.unwrap_or_default());
        println!("  {:<6} {count:>3} turbines {sum:>9.1} kW", group.group);
    }
}

/// Runs the example; a test of the repository does, too.
pub(crate) fn main() -> twinflow::Result<()> {
    let memory = Memory::acknowledged(100);
    let broker = memory.broker();
    let engine = Engine::builder()
        .model("turbines", Last)
        .connection("plant", memory)
        .memory_store()
        .view(View::sum("power", "turbines", region, |_id, turbine| turbine.kilowatts))
        .start()?;
    let handle = engine.handle();
    let (start, mut listener) = handle.listen_to_view("power").expect("it was added above");
    show(&start, "at the start");

    let mut sent = 0;
    let mut report = |turbine: u32, region: &str, kilowatts: f64| {
        let report = serde_json::json!({ "region": region, "kilowatts": kilowatts });
        broker.send("turbines", &format!("t-{turbine}"), report.to_string());
        sent += 1;
        assert!(broker.wait(Duration::from_secs(10), |it| it.acknowledged() == sent));
    };
    for turbine in 0..6 {
        report(turbine, if turbine < 4 { "north" } else { "south" }, 1000.0 + f64::from(turbine));
    }
    // It is towed to the south, and its wind with it.
    report(0, "south", 500.0);

    // What changed, as it comes: epochs that came together are one update.
    let mut known = std::collections::BTreeMap::new();
    let expected = [("north", 3, 3006.0), ("south", 3, 2509.0)];
    let is = |known: &std::collections::BTreeMap<String, (u64, f64)>| {
        expected.iter().all(|(group, count, sum)| known.get(*group) == Some(&(*count, *sum)))
    };
    while !is(&known) {
        let next = engine.runtime().block_on(listener.next());
        let (update, _whole) = next.expect("the engine runs");
        show(&update, "changed");
        for group in update.groups {
            known.insert(group.group, (group.count, group.sum.unwrap_or_default()));
        }
    }
    let now = handle.view("power").expect("it was added above");
    show(&now, "now");
    assert_eq!(now.groups.len(), 2);
    println!("{}", engine.stop()?);
    Ok(())
}
