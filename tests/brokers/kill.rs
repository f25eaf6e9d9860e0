//! `kill -9` of the real program between Kafka, Mosquitto and callers over REST, at any time and at
//! fail points, with another number of workers each time, on what the page cache has and on what
//! was synced alone.
//!
//! After each kill a process that nothing reaches is started on what is left, and held against what
//! the brokers and the callers were told: committed offsets, PUBACKs, answers with 200. At the end
//! every twin is held against everything that was sent.

mod callers;
mod disk;
mod machine;
mod plan;
mod plant;
mod published;
mod runs;
mod stream;
mod syncs;
mod total;

use crate::clock::{StoodStill, now, say};
use plan::Plan;
use plant::Load;
use runs::Runs;

fn kill(seed: u64, runs: u64, load: Load) -> Runs {
    let (started, still, mut all) = (now(), StoodStill::watch(), Runs::new(load));
    for run in 0..runs {
        let plan = Plan::of(seed, run);
        let from = now();
        all.run(plan);
        let (took, still) = (from.elapsed().as_secs_f64(), still.secs());
        let still = if still > 1.0 { format!(", stopped for {still:.1} s") } else { String::new() };
        say(&format!("kill: run {run}: {plan:?}, {took:.1} s{still}"));
    }
    // What is counted is read twin after twin, as in a look.
    all.plant.every_second = false;
    let total = total::total(&mut all);
    total::tell(&all, &total, started.elapsed().as_secs_f64());
    total::check(&all, &total);
    all
}

/// How many kills `cargo xtask faults kill --runs N` asks for, and from which seed.
fn wanted(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |it| it.into_string().unwrap().parse().unwrap())
}

#[test]
fn small_kills_lose_nothing_that_was_acknowledged() {
    kill(5, 5, Load { twins: 8_000, rate: 5_000, others: 500, pause_ms: 20 });
}

#[test]
#[ignore = "full size: cargo xtask faults kill"]
fn full_kills_under_fifty_thousand_messages_a_second() {
    let (seed, runs) = (wanted("TWINFLOW_KILL_SEED", 1), wanted("TWINFLOW_KILL_RUNS", 100));
    say(&format!("kill: seed {seed}"));
    let all = kill(seed, runs, Load { twins: 500_000, rate: 50_000, others: 5_000, pause_ms: 10 });
    let aimed = all.counted.aimed.values().sum::<u64>();
    assert!(aimed * 10 >= runs * 3, "{aimed} of {runs} kills came to their fail point");
}
