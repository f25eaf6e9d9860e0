//! Kills, and what is looked up after each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    callers,
    plan::{At, Plan},
    plant::{Load, Plant},
    published::{self, MODELS},
    stream::{Oracle, Wrong, name},
};
use crate::{
    clock::{now, say, until},
    program::{Program, last_words},
};

/// How many of the newest records below a committed offset are looked up after a kill.
const LOOKED_AT: u64 = 250;

/// Seconds until a process that does not come to its fail point is killed all the same.
const PATIENCE_S: u64 = 40;

/// What the runs counted.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) at_any_time: u64,
    pub(super) aimed: BTreeMap<&'static str, u64>,
    pub(super) not_reached: Vec<&'static str>,
    pub(super) power_cuts: u64,
    /// Children of a supervisor that were killed and started again by it.
    pub(super) supervised: u64,
    /// Bytes that power cuts took away.
    pub(super) gone: u64,
    pub(super) looked_up: u64,
    /// How often committed reads of an idle process did not come in time.
    pub(super) stalled: u64,
    pub(super) wrong: Wrong,
    /// What was acknowledged and not there after a kill.
    pub(super) broken: [u64; 3],
    pub(super) ready_most: Duration,
}

/// A plant, what was checked of it so far, and what that gave.
pub(super) struct Runs {
    pub(super) plant: Plant,
    pub(super) oracle: Oracle,
    pub(super) acknowledged: usize,
    pub(super) answered: usize,
    pub(super) counted: Counted,
}

impl Runs {
    pub(super) fn new(load: Load) -> Self {
        Self::of(Plant::start(load))
    }

    pub(super) fn of(plant: Plant) -> Self {
        let oracle = Oracle::new(plant.stream());
        Self { plant, oracle, acknowledged: 0, answered: 0, counted: Counted::default() }
    }

    pub(super) fn run(&mut self, plan: Plan) {
        self.plant.every_second = plan.every_second;
        match plan.at {
            At::Any(ms) if plan.supervised => self.kill_under_supervision(plan.workers, ms),
            At::Any(ms) => self.kill_at_any_time(plan.workers, ms, &[]),
            At::Point(place, times) => {
                let mut program = self.plant.spawn(plan.workers, &point(place, times));
                if !self.dies(&mut program, place) {
                    program.kill();
                }
            }
            At::Start(ms, place) => {
                self.kill_at_any_time(plan.workers, ms, &[]);
                let mut program = self.plant.spawn_alone(plan.workers, &point(place, 1));
                if !self.dies(&mut program, place) {
                    program.kill();
                }
            }
        }
        if plan.cut_power {
            self.counted.power_cuts += 1;
            self.counted.gone += self.plant.disk.cut_power();
        }
        self.look(plan.workers_after);
    }

    pub(super) fn kill_at_any_time(
        &mut self,
        workers: u64,
        ms: u64,
        with: &[(&'static str, String)],
    ) {
        let before = self.committed();
        let started = now();
        let mut program = self.plant.spawn(workers, with);
        self.until_ready(&mut program, started);
        until(60, "something is committed", || {
            assert!(program.runs(), "it ended by itself: {}", last_words(self.plant.path()));
            self.committed() > before
        });
        std::thread::sleep(Duration::from_millis(ms));
        program.kill();
        self.counted.at_any_time += 1;
    }

    /// Kills the child of a supervisor twice, each time when it has committed something; at last
    /// both, in the middle of whatever the third does.
    fn kill_under_supervision(&mut self, workers: u64, ms: u64) {
        let mut program = self.plant.spawn_supervised(workers);
        for kill in 0..3 {
            let started = now();
            let before = self.committed();
            self.until_ready(&mut program, started);
            until(60, "something is committed", || {
                assert!(program.runs(), "it ended by itself: {}", last_words(self.plant.path()));
                self.committed() > before
            });
            std::thread::sleep(Duration::from_millis(ms / 2));
            self.counted.at_any_time += 1;
            if kill == 2 {
                program.kill_both();
            } else {
                self.counted.supervised += 1;
                program.kill_child();
            }
        }
    }

    pub(super) fn committed(&self) -> u64 {
        self.plant.world.committed().iter().sum()
    }

    pub(super) fn until_ready(&mut self, program: &mut Program, started: Instant) {
        until(120, "the program is ready", || {
            assert!(program.runs(), "it ended: {}", last_words(self.plant.path()));
            program.is_ready()
        });
        self.counted.ready_most = self.counted.ready_most.max(started.elapsed());
    }

    /// Whether it comes to its fail point and dies there.
    fn dies(&mut self, program: &mut Program, place: &'static str) -> bool {
        let started = now();
        while started.elapsed() < Duration::from_secs(PATIENCE_S) {
            if let Some(ended) = program.ended() {
                assert!(was_killed(ended), "{place}: {ended}: {}", last_words(self.plant.path()));
                *self.counted.aimed.entry(place).or_default() += 1;
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.counted.at_any_time += 1;
        self.counted.not_reached.push(place);
        false
    }

    /// Starts the dead program where nothing reaches it, and holds what it has against what was
    /// acknowledged; then it is killed.
    pub(super) fn look(&mut self, workers: u64) {
        let started = now();
        let mut program = self.plant.spawn_alone(workers, &[]);
        self.until_ready(&mut program, started);
        // Asked for only now: nobody is left who could have acknowledged more meanwhile.
        self.look_at_records(&mut program);
        self.look_at_published(&mut program);
        self.look_at_answered(&mut program);
        program.kill();
    }

    /// Committed states. A process that does not give them in time is a finding, and is replaced.
    fn states(
        &mut self,
        program: &mut Program,
        model: &str,
        ids: &[String],
    ) -> BTreeMap<String, Value> {
        loop {
            if let Some(states) = program.states_in_time(model, ids) {
                return states;
            }
            self.counted.stalled += 1;
            say(&format!("kill: reads of {model} stall: {}", last_words(self.plant.path())));
            program.kill();
            *program = self.plant.spawn_alone(1 + self.counted.stalled % 3, &[]);
            self.until_ready(program, now());
        }
    }

    fn look_at_records(&mut self, program: &mut Program) {
        let (committed, written) = (self.plant.world.committed(), self.plant.records.written());
        self.oracle.advance(&committed);
        let twins = self.oracle.newest(LOOKED_AT);
        let names: Vec<_> = twins.iter().map(|twin| name(*twin)).collect();
        let states = self.states(program, "readings", &names);
        let wrong = self.oracle.judge(&twins, &written, &states);
        self.counted.looked_up += twins.len() as u64;
        self.counted.broken[0] += wrong.lost;
        self.counted.wrong.twice += wrong.twice;
        self.counted.wrong.disordered += wrong.disordered;
    }

    fn look_at_published(&mut self, program: &mut Program) {
        let told = self.plant.published.tap.acknowledged(self.acknowledged);
        let acknowledged: Vec<_> = told.iter().map(|told| told.id).collect();
        self.acknowledged += acknowledged.len();
        self.counted.looked_up += acknowledged.len() as u64;
        for (model, name) in MODELS.iter().enumerate() {
            let twins = self.plant.published.twins_of(model, acknowledged.iter().copied());
            let states = self.states(program, name, &twins);
            self.counted.broken[1] += published::lost(&acknowledged, model, &states);
        }
    }

    fn look_at_answered(&mut self, program: &mut Program) {
        let answered = self.plant.callers.answered(self.answered);
        self.answered += answered.len();
        self.counted.looked_up += answered.len() as u64;
        let twins = answered.iter().map(|it| callers::twin(it.id, self.plant.load.others));
        let twins: BTreeSet<_> = twins.collect();
        let states = self.states(program, "orders", &twins.into_iter().collect::<Vec<_>>());
        self.counted.broken[2] += callers::lost(&answered, &states);
    }
}

fn point(place: &str, times: u64) -> [(&'static str, String); 1] {
    [("TWINFLOW_FAIL_POINT", format!("{place}:{times}"))]
}

/// SIGKILL.
fn was_killed(ended: ExitStatus) -> bool {
    ended.signal() == Some(9)
}
