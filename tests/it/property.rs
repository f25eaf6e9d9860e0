//! Any messages, connections, workers and faults, against a sequential oracle.
//!
//! `plan` is what happens, `oracle` what must come of it, `world` makes it happen.

mod oracle;
mod plan;
mod twin;
mod world;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use self::{oracle::check, plan::plan, world::World};

fn holds(cases: u32, faults: bool) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&plan(faults), |plan| {
        let mut world = World::start(&plan);
        plan.steps.iter().for_each(|step| world.does(step));
        check(&plan, &world.end()).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn law_p2_without_a_fault_everything_is_applied_once_in_order() {
    holds(24, false);
}

#[test]
fn whatever_is_cut_held_paused_or_killed_nothing_acknowledged_is_missing() {
    holds(36, true);
}
