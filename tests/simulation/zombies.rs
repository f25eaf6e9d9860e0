//! Processes that stand still at any step, are thought dead, and go on beside their successors: no
//! lock keeps them apart here. Whatever such a zombie does, nothing that anybody was told is lost.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use twinflow::{
    Engine,
    error::{Error, ErrorKind},
    store::{Random, SimDisk},
};

use crate::{
    mistakes::honest,
    oracle::{self, Verdict},
    world::{Counted, End, World},
};

/// How long a zombie that went on is given to notice; one that has nothing to write need not.
const NOTICES_WITHIN: Duration = Duration::from_millis(25);

/// A start on its thread.
pub(crate) type Starting = JoinHandle<Result<Engine, Error>>;

/// A stop on its thread, and what it left.
pub(crate) type Stopping = JoinHandle<Result<Verdict, Error>>;

/// How far a process was when it stood still.
pub(crate) enum Undead {
    Starting(Starting),
    Running(Engine),
    Stopping(Stopping),
}

/// A process that others think dead.
pub(crate) struct Zombie {
    pub(crate) disk: SimDisk,
    life: usize,
    fenced: Arc<AtomicBool>,
    undead: Undead,
}

/// Says how a life is over, without the world.
pub(crate) struct Over {
    disk: SimDisk,
    cut: Arc<AtomicBool>,
    fenced: Arc<AtomicBool>,
    failed: Arc<OnceLock<String>>,
}

impl Over {
    pub(crate) fn of(world: &World) -> Self {
        let (disk, fenced) = (world.disk.clone(), Arc::clone(&world.fenced));
        Self { cut: disk.cut_flag(), disk, fenced, failed: Arc::clone(&world.failed) }
    }

    pub(crate) fn get(&self) -> Option<End> {
        if self.cut.load(Ordering::SeqCst) {
            Some(End::Crashed)
        } else if self.fenced.load(Ordering::SeqCst) {
            Some(End::Fenced)
        } else if let Some(why) = self.failed.get() {
            Some(End::Failed(why.clone()))
        } else {
            self.disk.process().is_paused().then_some(End::Paused)
        }
    }
}

/// Whether a start failed for what another process did.
pub(crate) fn is_of_another(error: &Error) -> bool {
    error.kind() == ErrorKind::Fenced || error.report().contains("another process has ")
}

impl World {
    /// Keeps a process that stands still.
    pub(crate) fn keep(&mut self, undead: Undead) {
        let (disk, fenced) = (self.disk.clone(), Arc::clone(&self.fenced));
        self.zombie = Some(Zombie { disk, life: self.lives, fenced, undead });
    }

    /// The whole plan, with processes that stand still after so many steps and go on after so many
    /// of the next one.
    pub(crate) fn haunted(mut self, pauses: &[(u64, u64)], counted: &mut Counted) -> Verdict {
        counted.runs += 1;
        for pause in pauses {
            self.pauses = Some(*pause);
            let mut end = self.life()?;
            if end == End::Paused {
                counted.paused += 1;
                end = self.life()?;
                self.bury(counted)?;
            }
            self.disk.process().end();
            if end == End::Done {
                return Ok(());
            }
            self.crash(counted);
        }
        self.pauses = None;
        match self.life()? {
            End::Done => Ok(()),
            end => Err(format!("{end:?}, and nobody asked")),
        }
    }

    /// The zombie goes on, if it did not yet, and ends for good. Whatever it has told anybody since
    /// was found by its successor, before that began.
    #[expect(clippy::disallowed_methods, reason = "how long it takes to notice is real time")]
    fn bury(&mut self, counted: &mut Counted) -> Verdict {
        let Some(Zombie { disk, life, fenced, undead }) = self.zombie.take() else {
            return Ok(());
        };
        disk.process().go_on();
        let since = Instant::now();
        while !fenced.load(Ordering::SeqCst) && since.elapsed() < NOTICES_WITHIN && !disk.is_cut() {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.up.ended(life);
        disk.process().end();
        let failed = match undead {
            Undead::Running(engine) => {
                drop(engine);
                None
            }
            Undead::Starting(starting) => {
                starting.join().map_err(|_| "a start has panicked")?.err()
            }
            Undead::Stopping(stopping) => stopping.join().map_err(|_| "a stop has panicked")?.err(),
        };
        let by_start = failed.is_some_and(|error| error.kind() == ErrorKind::Fenced);
        counted.fenced += u64::from(by_start || fenced.load(Ordering::SeqCst));
        let outside = self.up.outside();
        if self.found.is_empty() {
            return Ok(());
        }
        let told = self.told.and(&outside.told_late);
        let found = oracle::recovered(&outside, &told, &self.found);
        found.map_err(|why| format!("told by a zombie: {why}"))
    }
}

/// Runs of `seeds` with a pause before every `stride`-th step, until there were so many.
fn at_every_step(seeds: u64, stride: u64, most: u64) -> Counted {
    let mut counted = Counted::default();
    for seed in 0..seeds {
        let mut random = Random(seed << 32);
        for step in (seed % stride..World::steps_of_process(seed)).step_by(stride as usize) {
            let pauses = [(step, random.below(160))];
            World::new(seed)
                .haunted(&pauses, &mut counted)
                .unwrap_or_else(|why| panic!("seed {seed}, pauses {pauses:?}: {why}"));
            if counted.paused == most {
                return counted;
            }
        }
    }
    counted
}

/// Runs with up to three zombies, one after the other.
pub(crate) fn haunting(runs: u64) -> impl Iterator<Item = (u64, Verdict, Counted)> {
    (0..runs).map(|nth| {
        let mut random = Random(nth << 32);
        let pauses = [(); 3].map(|()| (20 + random.below(500), random.below(200)));
        let mut counted = Counted::default();
        let verdict = World::new(9000 + nth).haunted(&pauses, &mut counted);
        (nth, verdict.map_err(|why| format!("pauses {pauses:?}: {why}")), counted)
    })
}

fn tell(what: &str, counted: &Counted) {
    let Counted { runs, paused, fenced, power_cuts, .. } = counted;
    println!("{what}: {runs} runs, {paused} zombies, {fenced} of them fenced, {power_cuts} cuts");
}

fn one_after_the_other(runs: u64) -> Counted {
    let mut all = Counted::default();
    for (nth, verdict, counted) in haunting(runs) {
        verdict.unwrap_or_else(|why| panic!("run {nth}: {why}"));
        all.runs += 1;
        all.paused += counted.paused;
        all.fenced += counted.fenced;
        all.power_cuts += counted.power_cuts;
    }
    all
}

#[test]
fn quick_a_zombie_of_any_step_breaks_no_promise() {
    let _honest = honest();
    let counted = at_every_step(12, 61, 80);
    tell("quick", &counted);
    assert!(counted.paused > 40 && counted.fenced > 20, "{counted:?}");
}

#[test]
fn quick_zombies_one_after_the_other_break_no_promise() {
    let _honest = honest();
    let counted = one_after_the_other(40);
    tell("quick, random", &counted);
    assert!(counted.paused > 20 && counted.fenced > 8, "{counted:?}");
}

#[test]
#[ignore = "cargo xtask faults simulation: 10,000 zombies"]
fn full_a_zombie_of_every_step_breaks_no_promise() {
    let _honest = honest();
    let counted = at_every_step(u64::MAX, 1, 10_000);
    tell("zombies at every step", &counted);
    assert_eq!(counted.paused, 10_000);
}

#[test]
#[ignore = "cargo xtask faults simulation: 2,000 runs"]
fn full_zombies_one_after_the_other_break_no_promise() {
    let _honest = honest();
    tell("random zombies", &one_after_the_other(2_000));
}
