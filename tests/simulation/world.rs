//! One plan, with its lives: from one start of the engine to its end or its crash.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use twinflow::{
    ConnectionSettings, Engine, StoreChoice,
    connectors::message::{Clock, Timestamp},
    store::{LocalLog, LogOptions, Random, SimDisk},
};

use twinflow_operators::store::StoreError;

use crate::{
    oracle::{self, Verdict},
    plan::{Does, From, NOON, PARTITIONS, Plan, Sent},
    store::Stepped,
    twin::{Act, Log, Note},
    upstream::{Told, Upstream},
    zombies::{Over, Starting, Undead, Zombie, is_of_another},
};

/// A segment of this length holds few groups, so that a plan has several sweeps.
const SEGMENT: u64 = 12 << 10;
/// Why a replay may fail: the twin fails again; the letter went a moment ago and the list does not
/// know yet; or the machine stood still, and the outcome is unknown.
const MAY_FAIL: [&str; 4] = [
    "the twin's code failed",
    "its payload is kept no more",
    "has not moved for two seconds",
    "not committed in time",
];
/// Numbers of messages that only say that everything before them is done.
const LAST: u64 = 1 << 40;

/// What is counted over runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) runs: u64,
    pub(crate) crashes: u64,
    pub(crate) power_cuts: u64,
    pub(crate) sweeps: u64,
    pub(crate) kept: u64,
    pub(crate) lost: u64,
    /// Waits that only one more message ended, each after a session had been cut.
    pub(crate) more: u64,
    pub(crate) steps: BTreeMap<&'static str, u64>,
    /// Processes that stood still, and those of them that were fenced when they went on.
    pub(crate) paused: u64,
    pub(crate) fenced: u64,
}

/// How a life ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Crashed,
    /// Its process stands still; it goes on later.
    Paused,
    /// Another one, which was thought dead, has taken over.
    Fenced,
    /// Its store failed.
    Failed(String),
    Done,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) up: Upstream,
    pub(crate) disk: SimDisk,
    random: Random,
    note: Note,
    clock: Arc<AtomicU64>,
    /// What the plan does next, and the number of the next message.
    at: usize,
    sent: u64,
    lasts: u64,
    pub(crate) lives: usize,
    /// A process that stands still, or did, while others live.
    pub(crate) zombie: Option<Zombie>,
    /// Whether the process of this life was fenced.
    pub(crate) fenced: Arc<AtomicBool>,
    /// Why else its store failed.
    pub(crate) failed: Arc<OnceLock<String>>,
    /// Whether a session was cut in this life.
    has_cut: bool,
    more: u64,
    sweeps: Arc<AtomicU64>,
    /// When the next process stands still, and when it goes on: steps of it, and of the one after.
    pub(crate) pauses: Option<(u64, u64)>,
    goes_on: Option<u64>,
    /// What was acknowledged when this life began.
    pub(crate) told: Told,
    /// The last committed read of each twin.
    read: BTreeMap<String, Log>,
    /// What was there when the last life began, before its sources did.
    pub(crate) found: BTreeMap<String, Option<Log>>,
}

/// Twins that a run may have.
pub(crate) fn twins() -> Vec<String> {
    let owns = (0..PARTITIONS).map(|partition| format!("log-{partition}"));
    let owns = owns.chain(["queue".to_owned()]);
    let own = owns.flat_map(|own| ["0", "1", "goes"].map(|it| format!("{own}-{it}")));
    own.chain(["heals".to_owned(), "all".to_owned()]).collect()
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = SimDisk::default();
        Self {
            plan: Plan::of(seed),
            up: Upstream::new(disk.clone()),
            disk,
            random: Random((seed << 20) + (1 << 16)),
            note: Note::default(),
            clock: Arc::new(AtomicU64::new(NOON)),
            at: 0,
            sent: 0,
            lasts: 0,
            lives: 0,
            zombie: None,
            fenced: Arc::default(),
            failed: Arc::default(),
            has_cut: false,
            more: 0,
            sweeps: Arc::default(),
            pauses: None,
            goes_on: None,
            told: Told::default(),
            read: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// The whole plan with a crash in each of these steps of a life; what it came to is judged.
    pub(crate) fn run(mut self, crashes: &[u64], counted: &mut Counted) -> Verdict {
        counted.runs += 1;
        for step in crashes {
            self.disk.cut_after(*step);
            let end = self.life()?;
            counted.crashes += u64::from(end == End::Crashed);
            if let (_, Some(what)) = self.disk.steps() {
                *counted.steps.entry(what).or_default() += 1;
            }
            self.crash(counted);
            if end == End::Done {
                break;
            }
        }
        let last = self.life()?;
        counted.sweeps += self.sweeps.load(Ordering::Relaxed);
        counted.more += self.more;
        if last == End::Crashed { Err("it crashed and nobody asked".into()) } else { Ok(()) }
    }

    /// How many steps a life has in which nothing happens to the disk.
    pub(crate) fn steps(seed: u64) -> u64 {
        let mut world = Self::new(seed);
        let verdict = world.life();
        verdict.unwrap_or_else(|why| panic!("seed {seed} without a crash: {why}"));
        world.disk.steps().0
    }

    /// How many steps the process of such a life comes to.
    pub(crate) fn steps_of_process(seed: u64) -> u64 {
        let mut world = Self::new(seed);
        let verdict = world.life();
        verdict.unwrap_or_else(|why| panic!("seed {seed} without a pause: {why}"));
        world.disk.process().steps()
    }

    /// The disk that a whole plan leaves behind.
    pub(crate) fn left(mut self) -> Result<SimDisk, String> {
        self.life()?;
        Ok(self.disk.copy())
    }

    pub(crate) fn crash(&mut self, counted: &mut Counted) {
        if self.plan.power {
            self.let_go();
            let before = self.disk.kept_and_lost();
            self.disk = self.disk.power_cut(&mut self.random);
            let after = self.disk.kept_and_lost();
            counted.power_cuts += 1;
            counted.kept += after.0 - before.0;
            counted.lost += after.1 - before.1;
        } else {
            self.disk.killed();
        }
    }

    /// The disk tells the world outside of its end, and that has the disk: nobody would free them.
    fn let_go(&self) {
        self.disk.on_cut(Arc::new(|| ()));
    }

    fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || Timestamp(0).plus_secs(clock.load(Ordering::SeqCst)))
    }

    /// Whoever waits looks again.
    fn wake(&self) -> Arc<dyn Fn() + Send + Sync> {
        let up = self.up.clone();
        Arc::new(move || up.change(|_| ()))
    }

    /// How a process ends when its store fails.
    fn on_failure(&self) -> Arc<dyn Fn(StoreError) + Send + Sync> {
        let (up, life) = (self.up.clone(), self.lives);
        let (fenced, failed) = (Arc::clone(&self.fenced), Arc::clone(&self.failed));
        Arc::new(move |error| {
            match error {
                StoreError::Fenced { .. } => fenced.store(true, Ordering::SeqCst),
                error => drop(failed.set(format!("{error:?}"))),
            }
            up.ended(life);
        })
    }

    /// A start, on a thread of its own: it may stand still.
    fn start(&mut self) -> Starting {
        self.lives += 1;
        self.has_cut = false;
        (self.fenced, self.failed) = (Arc::default(), Arc::default());
        self.found.clear();
        self.disk = self.disk.of_another_process();
        self.up.close_gate(self.disk.clone(), self.lives);
        let seed = self.random.below(u64::MAX);
        self.disk.on_cut(self.wake());
        if let Some((pause, go_on)) = self.pauses.take() {
            self.disk.process().pause_after(pause, self.wake());
            self.goes_on = Some(go_on);
        } else if let (Some(zombie), Some(steps)) = (&self.zombie, self.goes_on.take()) {
            let disk = zombie.disk.clone();
            self.disk.process().call_after(steps, Arc::new(move || disk.process().go_on()));
        }
        let mut options = LogOptions::new(seed, self.on_failure());
        options.segment_bytes = SEGMENT;
        options.sync_every = self.plan.sync_every;
        options.seal_after = std::time::Duration::from_millis(2);
        let settings = ConnectionSettings {
            reconnect_backoff_ms: 1,
            reconnect_backoff_max_ms: 2,
            ..ConnectionSettings::default()
        };
        let (log, queue) = self.up.connectors(self.plan.slots, self.lives);
        let workers = self.plan.workers[(self.lives - 1) % self.plan.workers.len()];
        let builder = Engine::builder()
            .workers(workers)
            .clock(self.clock())
            .model("note", self.note.clone())
            .connection_with("log", log, settings.clone())
            .connection_with("queue", queue, settings);
        let (disk, sweeps) = (self.disk.clone(), Arc::clone(&self.sweeps));
        std::thread::spawn(move || {
            let log = LocalLog::open_on(Arc::new(disk.clone()), options)?;
            let store = Arc::new(Stepped::new(log, disk, sweeps));
            builder.store(StoreChoice::Custom(store)).start()
        })
    }

    /// How this life is over, if it is.
    fn over(&self) -> Option<End> {
        Over::of(self).get()
    }

    /// A life up to its end; whoever stands still then is kept.
    pub(crate) fn life(&mut self) -> Result<End, String> {
        let cannot = |error: twinflow::error::Error| format!("refused: {}", error.report());
        let starting = self.start();
        while !starting.is_finished() {
            if self.disk.process().is_paused() {
                self.keep(Undead::Starting(starting));
                return Ok(End::Paused);
            }
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        let engine = match starting.join().map_err(|_| "a start has panicked")? {
            Ok(engine) => engine,
            Err(_) if self.is_cut() => return Ok(End::Crashed),
            // The one that was thought dead was faster; the next start finds what it wrote.
            Err(error) if self.zombie.is_some() && is_of_another(&error) => return Ok(End::Fenced),
            Err(error) => return Err(cannot(error)),
        };
        let end = self.live(&engine)?;
        match end {
            End::Paused => self.keep(Undead::Running(engine)),
            End::Done => return self.stop(engine),
            End::Fenced if self.zombie.is_none() => return Err("fenced by nobody".into()),
            End::Failed(ref why) => return Err(format!("the store failed: {why}")),
            End::Crashed | End::Fenced => self.disk.process().end(),
        }
        Ok(end)
    }

    /// A clean stop, on a thread of its own: it may stand still.
    fn stop(&mut self, engine: Engine) -> Result<End, String> {
        let stopping = std::thread::spawn(move || {
            engine.stop().map(|stopped| match stopped.left.is_empty() {
                true => Ok(()),
                false => Err(format!("a stop left something: {stopped}")),
            })
        });
        while !stopping.is_finished() {
            if self.disk.process().is_paused() {
                self.keep(Undead::Stopping(stopping));
                return Ok(End::Paused);
            }
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        let stopped = stopping.join().map_err(|_| "a stop has panicked")?;
        if self.is_cut() {
            return Ok(End::Crashed);
        }
        if self.fenced.load(Ordering::SeqCst) {
            return Ok(End::Fenced);
        }
        stopped.map_err(|error| error.report())??;
        Ok(End::Done)
    }

    fn is_cut(&self) -> bool {
        self.disk.is_cut()
    }

    fn live(&mut self, engine: &Engine) -> Result<End, String> {
        // C4: before the sources start, everything that was acknowledged is there.
        let Some(found) = self.dump(engine)? else {
            return self.over().ok_or_else(|| "no answer, and it is not over".into());
        };
        {
            let outside = self.up.outside();
            self.told = outside.told.clone();
            oracle::recovered(&outside, &self.told, &found)?;
        }
        oracle::committed_reads(&self.read, &found)?;
        self.found = found;
        self.up.open_gate();
        while let Some(does) = self.plan.does.get(self.at).cloned() {
            if let Some(over) = self.over() {
                return Ok(over);
            }
            self.at += 1;
            self.does(engine, &does)?;
        }
        if self.over().is_none() {
            self.finish(engine)?;
        }
        Ok(self.over().unwrap_or(End::Done))
    }

    fn does(&mut self, engine: &Engine, does: &Does) -> Result<(), String> {
        match does {
            Does::Send(messages) => {
                for message in messages {
                    self.up.send(self.sent, message);
                    self.sent += 1;
                }
            }
            Does::Settle => self.settle()?,
            Does::Read(twin) => {
                if let Some(Ok(Some(state))) = self.ask(engine, engine.handle().read("note", twin))
                {
                    let log = serde_json::from_slice(&state.json).map_err(|it| it.to_string())?;
                    oracle::read(self.read.insert(twin.clone(), log), &self.read[twin])?;
                }
            }
            Does::Cut(which) => {
                self.has_cut = true;
                self.up.cut(*which);
            }
            Does::Confirm(confirms) => self.confirm(*confirms),
            Does::Heal => self.note.healed.store(true, Ordering::SeqCst),
            Does::Replay => {
                self.replay(engine)?;
            }
            Does::Again(n) => self.up.again(*n),
            Does::Clock(secs) => self.clock.store(*secs, Ordering::SeqCst),
        }
        Ok(())
    }

    /// Whoever withheld confirmations gets everything again in a new session.
    fn confirm(&mut self, confirms: bool) {
        let before = self.up.change(|outside| std::mem::replace(&mut outside.confirms, confirms));
        if confirms && !before {
            self.has_cut = true;
            (0..2).for_each(|which| self.up.cut(which));
        }
    }

    /// Waits for an answer or the crash.
    fn ask<T>(&self, engine: &Engine, asked: impl Future<Output = T>) -> Option<T> {
        let over = Over::of(self);
        engine.runtime().block_on(async {
            let cut = async {
                while over.get().is_none() {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                biased;
                answer = asked => Some(answer),
                () = cut => None,
            }
        })
    }

    /// Replays the first dead letter; whether there was one and the crash did not come first.
    fn replay(&self, engine: &Engine) -> Result<bool, String> {
        let handle = engine.handle();
        let Some(letter) = handle.dead_letters().list(0, 1).pop() else { return Ok(false) };
        match self.ask(engine, handle.replay(letter.number)) {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => {
                let why = error.to_string();
                let known = MAY_FAIL.iter().any(|known| why.contains(known));
                if known { Ok(true) } else { Err(format!("dead letter {}: {why}", letter.number)) }
            }
        }
    }

    /// Everything sent is waited for. What an earlier session took is acknowledged together with
    /// something of a later one, so each source gets one more; and again when a session that was
    /// cut took that one too.
    fn settle(&mut self) -> Result<(), String> {
        let over = Over::of(self);
        for round in 0..60 {
            // Nothing else may need company.
            if round == 0 || self.has_cut {
                self.more += u64::from(round > 0);
                self.send_last();
            }
            let settled = self.up.wait(|outside| {
                let mut logs = outside.log.iter().zip(outside.told.done);
                let log_done = logs.all(|(log, done)| done == log.len() as u64);
                over.get().is_some() || (log_done && outside.queue.is_empty())
            });
            if settled {
                return Ok(());
            }
        }
        Err("nothing is acknowledged any more".into())
    }

    fn send_last(&mut self) {
        for from in (0..PARTITIONS).map(From::Log).chain([From::Queue]) {
            self.lasts += 1;
            let last = Sent { from, twin: "last".into(), act: Act::NoUpdate };
            self.up.send(LAST + self.lasts, &last);
        }
    }

    /// The quiet end: everything acknowledged, replayed, sent and confirmed; then it is judged.
    fn finish(&mut self, engine: &Engine) -> Result<(), String> {
        self.note.healed.store(true, Ordering::SeqCst);
        self.confirm(true);
        self.settle()?;
        let letters = engine.handle().dead_letters();
        let tries = 20 + 5 * letters.len();
        for _ in 0..tries {
            if self.over().is_some() || letters.is_empty() {
                break;
            }
            self.replay(engine)?;
        }
        let over = Over::of(self);
        let replied = (0..60).any(|_| {
            self.up.wait(|outside| {
                over.get().is_some() || oracle::missing_replies(outside).next().is_none()
            })
        });
        let Some(dump) = self.dump(engine)? else { return Ok(()) };
        if self.over().is_some() {
            return Ok(());
        }
        let outside = self.up.outside();
        if !replied {
            return Err(format!("no reply to {:?}", oracle::missing_replies(&outside).next()));
        }
        let left = engine.handle().dead_letters().len();
        oracle::ended(&outside, &dump, left, self.lives)
    }

    /// All twins, as they are now; `None` when the crash came first.
    fn dump(&self, engine: &Engine) -> Result<Option<BTreeMap<String, Option<Log>>>, String> {
        let mut all = BTreeMap::new();
        for twin in twins() {
            let Some(asked) = self.ask(engine, engine.handle().peek("note", &twin)) else {
                return Ok(None);
            };
            let json = asked.map_err(|error| error.to_string())?;
            let log = json.map(|json| serde_json::from_slice(&json).unwrap());
            all.insert(twin, log);
        }
        Ok(Some(all))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.let_go();
    }
}
