//! Crashes in every step of the protocol, one run each; and in random ones, several in a run.

use twinflow::store::Random;

use crate::{
    mistakes::honest,
    plan::Plan,
    world::{Counted, World},
};

/// Runs of `seeds` with a crash in every `stride`-th step, until there were so many crashes; of
/// those in which epochs share a sync, four times as many.
fn at_every_step(seeds: u64, stride: u64, most: u64) -> Counted {
    let mut counted = Counted::default();
    for seed in 0..seeds {
        let steps = World::steps(seed);
        let stride = if Plan::shares_syncs(seed) { stride.div_ceil(4) } else { stride };
        for step in (seed % stride..steps).step_by(stride as usize) {
            World::new(seed)
                .run(&[step], &mut counted)
                .unwrap_or_else(|why| panic!("seed {seed}, crash in step {step}: {why}"));
            if counted.crashes == most {
                return counted;
            }
            if counted.crashes.is_multiple_of(5_000) {
                println!("{} of {most} crashes, seed {seed}", counted.crashes);
            }
        }
    }
    counted
}

/// Runs with up to three crashes, each in a random step of its life.
fn at_random(seeds: u64) -> Counted {
    let mut counted = Counted::default();
    for seed in 1000..1000 + seeds {
        let mut random = Random(seed << 32);
        let crashes = [(); 3].map(|()| random.below(400));
        World::new(seed)
            .run(&crashes, &mut counted)
            .unwrap_or_else(|why| panic!("seed {seed}, crashes {crashes:?}: {why}"));
    }
    counted
}

#[track_caller]
fn tell(what: &str, counted: &Counted) {
    println!("{what}: {} runs, {} crashes", counted.runs, counted.crashes);
    println!(
        "  {} power cuts, {} unsynced sectors kept and {} lost",
        counted.power_cuts, counted.kept, counted.lost
    );
    println!("  {} waits ended by one more message after a cut session", counted.more);
    println!("  {} sweeps; 0 violations; crashes by step:", counted.sweeps);
    counted.steps.iter().for_each(|(step, count)| println!("    {count:>6} {step}"));
}

/// Every kind of step that there is was interrupted.
fn each_kind(counted: &Counted) {
    for kind in [
        "frame handed over",
        "write of a group",
        "sync of a file",
        "commit",
        "acknowledged",
        "feedback sent",
        "feedback confirmed",
        "sweep begins",
        "sweep ends",
        "write of a segment's header",
        "change of a name",
        "sync of names",
        "write of a dead letter",
    ] {
        assert!(counted.steps.contains_key(kind), "no crash in a {kind}: {:?}", counted.steps);
    }
}

#[test]
fn quick_a_crash_in_any_step_breaks_no_promise() {
    let _honest = honest();
    let counted = at_every_step(24, 41, 400);
    tell("quick", &counted);
    assert!(counted.crashes > 100, "{counted:?}");
}

#[test]
fn quick_crashes_one_after_the_other_break_no_promise() {
    let _honest = honest();
    let counted = at_random(40);
    tell("quick, random", &counted);
    assert!(counted.crashes > 10 && counted.sweeps > 0, "{counted:?}");
}

#[test]
#[ignore = "cargo xtask faults simulation: 60,000 runs"]
fn full_a_crash_in_every_step_breaks_no_promise() {
    let _honest = honest();
    let counted = at_every_step(u64::MAX, 1, 60_000);
    tell("crash at every step", &counted);
    each_kind(&counted);
    assert_eq!(counted.crashes, 60_000);
}

#[test]
#[ignore = "cargo xtask faults simulation: 5,000 runs"]
fn full_crashes_one_after_the_other_break_no_promise() {
    let _honest = honest();
    let counted = at_random(5_000);
    tell("random crashes", &counted);
    each_kind(&counted);
}
