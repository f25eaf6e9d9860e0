//! A table beside the messages, and the changes of twins as a stream.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use twinflow::{
    Engine, EngineBuilder,
    connectors::memory::{Memory, MemoryBroker},
    error::ErrorKind,
    operators::pipeline::{Behind, Table},
    prelude::*,
};

use crate::common::{Act, Seen, Step, Watch, seen, step, wait_acknowledged};

/// What is known of a site: the last that was told.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Site {
    factor: u64,
}

impl TwinModel for Site {
    type Message<'m> = Site;
}

struct Latest;

impl MessageProcessor for Latest {
    type Model = Site;

    fn process_messages(
        &self,
        _cx: &mut ProcessingContext<'_>,
        site: &mut Site,
        told: Messages<'_, Site>,
    ) -> ProcessingResult {
        match told.last() {
            Some(last) if last.factor == 0 => return Ok(Outcome::Remove),
            Some(last) => *site = last.clone(),
            None => {}
        }
        Ok(Outcome::Update)
    }
}

const SHIFT: u64 = 1_000_000;

/// The factor of the site goes into the message.
fn with_factor(
    message: &Inbound<'_>,
    sites: &Table<Site>,
    out: &mut Out<'_>,
) -> Result<(), ProcessingError> {
    let step: Step = message.deserialize()?;
    let factor = sites.get("north").map_or(0, |site| site.factor);
    out.emit(&Step { n: factor * SHIFT + step.n, act: step.act })
}

/// Per epoch, what changed in it.
type Epochs<M> = Arc<Mutex<BTreeMap<u64, Vec<Change<M>>>>>;

fn enriched(
    workers: usize,
    plant: Memory,
    office: Memory,
    sites: &Epochs<Site>,
    twins: &Epochs<Seen>,
) -> EngineBuilder {
    let (sites, twins) = (Arc::clone(sites), Arc::clone(twins));
    Engine::builder()
        .workers(workers)
        .memory_store()
        .model("seen", Watch)
        .model("site", Latest)
        .connection("plant", plant)
        .connection("office", office)
        .dataflow(move |feed| {
            let (models, sites, twins) = (feed.models(), Arc::clone(&sites), Arc::clone(&twins));
            feed.enrich("site", with_factor)
                .process(models)
                .changes::<Site>("site", |changes| note(changes, sites))
                .changes::<Seen>("seen", |changes| note(changes, twins))
                .settle()
        })
}

fn note<M: TwinModel>(changes: Behind<'_, Change<M>>, to: Epochs<M>) {
    changes.for_each(move |change| {
        to.lock().unwrap().entry(change.epoch).or_default().push(change.clone());
    });
}

fn site(broker: &MemoryBroker, factor: u64) {
    broker.send("site", "north", serde_json::to_vec(&Site { factor }).unwrap());
}

#[test]
fn a_message_sees_exactly_what_earlier_epochs_made_of_the_table() {
    for workers in [1, 2, 3] {
        let (plant, office) = (Memory::replayable(2), Memory::acknowledged(10));
        let (at_plant, at_office) = (plant.broker(), office.broker());
        let (sites, twins) = (Epochs::default(), Epochs::default());
        let engine = enriched(workers, plant, office, &sites, &twins).start().unwrap();
        for n in 0..600 {
            at_plant.send("seen", &format!("twin-{}", n % 9), step(n, Act::Count));
            if n.is_multiple_of(3) {
                site(&at_office, n / 3 + 1);
            }
            if n.is_multiple_of(100) {
                wait_acknowledged(&at_plant, n + 1);
            }
        }
        wait_acknowledged(&at_plant, 600);
        wait_acknowledged(&at_office, 200);
        engine.stop().unwrap();
        let (sites, twins) = (sites.lock().unwrap(), twins.lock().unwrap());
        let mut checked = 0;
        let mut factors = std::collections::BTreeSet::new();
        for (epoch, changes) in &*twins {
            let before = sites.range(..epoch).next_back();
            let factor =
                before.and_then(|(_, all)| all.last()?.is.as_ref()).map_or(0, |it| it.factor);
            for change in changes {
                let had = change.was.as_ref().map_or(0, |seen| seen.numbers.len());
                for number in &change.is.as_ref().unwrap().numbers[had..] {
                    assert_eq!(number / SHIFT, factor, "{workers} workers, epoch {epoch}");
                    factors.insert(factor);
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 600);
        assert!(factors.len() > 3, "the table moved while messages came: {factors:?}");
    }
}

#[test]
fn a_table_is_there_before_the_first_message_after_a_restart_and_a_removed_row_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (plant, office) = (Memory::replayable(2), Memory::replayable(1));
    let (at_plant, at_office) = (plant.broker(), office.broker());
    site(&at_office, 7);
    for (round, workers) in [2, 1, 3].into_iter().enumerate() {
        let (sites, twins) = (Epochs::default(), Epochs::default());
        let (plant, office) = (Memory::from(&at_plant), Memory::from(&at_office));
        let builder = enriched(workers, plant, office, &sites, &twins).state_dir(dir.path());
        if round == 0 {
            let engine = builder.start().unwrap();
            wait_acknowledged(&at_office, 1);
            drop(engine);
            // They wait for the next start, and come at once.
            (0..100).for_each(|n| at_plant.send("seen", "a", step(n, Act::Count)));
            continue;
        }
        let engine = builder.start().unwrap();
        wait_acknowledged(&at_plant, 100);
        let expected: Vec<_> = (0..100).map(|n| 7 * SHIFT + n).collect();
        assert_eq!(seen(&engine, "a").unwrap().numbers[..100], expected);
        let at_start = sites.lock().unwrap().values().next().unwrap()[0].clone();
        assert_eq!((at_start.was, at_start.is), (None, Some(Site { factor: 7 })));
        if round == 2 {
            site(&at_office, 0);
            wait_acknowledged(&at_office, 2);
            at_plant.send("seen", "a", step(1, Act::Count));
            wait_acknowledged(&at_plant, 101);
            assert_eq!(seen(&engine, "a").unwrap().numbers.last(), Some(&1), "it is gone");
        }
        engine.stop().unwrap();
    }
}

#[test]
fn one_message_to_a_quiet_table_waits_for_nobody() {
    let (plant, office) = (Memory::replayable(2), Memory::acknowledged(10));
    let at_plant = plant.broker();
    let (sites, twins) = (Epochs::default(), Epochs::default());
    let engine = enriched(2, plant, office, &sites, &twins).start().unwrap();
    for n in 1..=50 {
        at_plant.send("seen", "a", step(n, Act::Count));
        wait_acknowledged(&at_plant, n);
    }
    assert_eq!(seen(&engine, "a").unwrap().numbers.len(), 50);
    engine.stop().unwrap();
}

#[test]
fn changes_of_another_type_or_of_no_model_stop_the_start_and_say_so() {
    let wrong = |model: &'static str| {
        let builder = Engine::builder().workers(1).memory_store().model("seen", Watch);
        let builder = builder.dataflow(move |feed| {
            let models = feed.models();
            feed.process(models).changes::<Site>(model, |_| ()).settle()
        });
        builder.start().unwrap_err()
    };
    for (model, why) in [("seen", "something else is asked for"), ("sene", "no such model")] {
        let error = wrong(model);
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        let text = error.report();
        assert!(text.contains(model) && text.contains(why), "{text}");
    }
}
