//! A view without an engine: what it says beside an oracle, and what it costs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::Ordering},
};

use serde::{Deserialize, Serialize};
use twinflow_connectors::message::Timestamp;

use super::*;
use crate::pipeline::Change;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Turbine {
    region: u16,
    kilowatts: f64,
    hot: u64,
}

impl TwinModel for Turbine {
    type Message<'m> = u64;
}

fn change(epoch: u64, twin: u64, is: Option<Turbine>) -> Change<Turbine> {
    let (at, twin) = (Timestamp(0), format!("turbine-{twin}"));
    Change { epoch, at, source_time: None, twin, was: None, is }
}

/// A view of this model, fed with epochs by hand.
struct Fed {
    mailbox: Arc<Mailbox<Turbine>>,
    progress: Arc<Progress>,
    known: Arc<Mutex<(u64, BTreeMap<String, Sums>)>>,
    thread: std::thread::JoinHandle<()>,
}

impl Fed {
    fn new() -> Self {
        let progress = Arc::<Progress>::default();
        let mailbox = Mailbox::new("turbines".into(), 1, Arc::clone(&progress));
        let group: Group<Turbine> = Arc::new(|_, it| Some(format!("region-{}", it.region)));
        let value: Value<Turbine> = Arc::new(|_, it| it.kilowatts);
        let run = ViewRun::new(Contributions::new(Arc::clone(&mailbox), group, value));
        let known = Arc::<Mutex<(u64, BTreeMap<String, Sums>)>>::default();
        let to = Arc::clone(&known);
        let thread = std::thread::spawn(move || {
            run.run(|update| {
                let (epoch, groups) = &mut *to.lock().unwrap();
                *epoch = update.epoch;
                for (group, sums) in update.groups {
                    match sums {
                        Some(sums) => drop(groups.insert(group, sums)),
                        None => drop(groups.remove(&group)),
                    }
                }
            });
        });
        Self { mailbox, progress, known, thread }
    }

    /// Gives one epoch, and commits it.
    fn epoch(&self, epoch: u64, changes: Vec<Change<Turbine>>) {
        self.mailbox.put(0, changes, epoch + 1);
        self.progress.committed.store(epoch + 1, Ordering::Release);
        self.mailbox.committed();
    }

    fn wait(&self, epoch: u64) {
        while self.mailbox.settled().is_none_or(|settled| settled < epoch) {
            std::thread::yield_now();
        }
    }

    fn end(self) {
        self.mailbox.stop();
        self.thread.join().unwrap();
    }
}

#[test]
fn groups_move_and_vanish_as_their_twins_do_and_sums_stay_exact() {
    let fed = Fed::new();
    let mut newest: BTreeMap<u64, Turbine> = BTreeMap::new();
    // A fixed sequence that visits every twin and region in no particular order.
    let draw = |n: u64| n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 33;
    for epoch in 1..=300u64 {
        let changes = (0..20).map(|n| {
            let seed = draw(epoch * 20 + n);
            let twin = seed % 40;
            let state = Turbine {
                region: (seed / 40 % 7) as u16,
                kilowatts: (seed % 1000) as f64 / 10.0 - 30.0,
                hot: n,
            };
            let is = (seed % 11 != 0).then_some(state);
            match &is {
                Some(is) => drop(newest.insert(twin, is.clone())),
                None => drop(newest.remove(&twin)),
            }
            change(epoch, twin, is)
        });
        // One change for a twin and epoch, as `process` gives them: the last one.
        let last: BTreeMap<String, _> = changes.map(|it| (it.twin.clone(), it)).collect();
        fed.epoch(epoch, last.into_values().collect());
        if epoch % 10 > 0 {
            continue;
        }
        fed.wait(epoch);
        let mut expected: BTreeMap<String, Sums> = BTreeMap::new();
        for it in newest.values() {
            let of = expected.entry(format!("region-{}", it.region)).or_default();
            *of = (of.0 + 1, of.1 + (it.kilowatts * 1e6).round() as i128);
        }
        assert_eq!(fed.known.lock().unwrap().1, expected, "epoch {epoch}");
    }
    fed.end();
}

/// `cargo test --release -p twinflow-operators --features live-views --lib cost_of_a_view
/// -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for a release build on a quiet machine"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn cost_of_a_view() {
    const TWINS: u64 = 100_000;
    for (per_epoch, epochs) in [(1u64, 20_000u64), (1000, 200), (50_000, 10)] {
        let fed = Fed::new();
        let state = |twin: u64, epoch: u64| Turbine {
            region: (twin % 500) as u16,
            kilowatts: (twin + epoch) as f64 / 7.0,
            hot: epoch,
        };
        fed.epoch(1, (0..TWINS).map(|twin| change(1, twin, Some(state(twin, 0)))).collect());
        fed.wait(1);
        let (mut worker, start) = (std::time::Duration::ZERO, std::time::Instant::now());
        for epoch in 2..2 + epochs {
            let of = |n: u64| (epoch * per_epoch + n) * 7919 % TWINS;
            let changes: Vec<_> =
                (0..per_epoch).map(|n| change(epoch, of(n), Some(state(of(n), epoch)))).collect();
            let before = std::time::Instant::now();
            fed.epoch(epoch, changes);
            worker += before.elapsed();
            if per_epoch > 1 {
                fed.wait(epoch);
            }
        }
        fed.wait(1 + epochs);
        let count = (per_epoch * epochs) as f64;
        println!(
            "{per_epoch} changes an epoch: {:.0} ns a change on the worker, {:.0} ns with the view",
            worker.as_nanos() as f64 / count,
            start.elapsed().as_nanos() as f64 / count,
        );
        fed.end();
    }
}
