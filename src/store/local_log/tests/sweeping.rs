//! Sweeps, power cuts, failed syncs, kills and other numbers of workers, one after the other on the
//! same log: what is recovered is what some prefix of the epochs comes to.

use std::sync::Arc;

use twinflow_operators::store::{EntryKind, EpochStore, StoreError, entries};

use super::super::mistakes::Mistake;
use super::super::simulated::{Random, SimDisk};
use super::driver::{Driver, Owned, as_replayed};
use super::world::{Fold, Worker, fold, payload_of};

/// A segment of this length holds two groups; so a sweep is due after a dozen.
const SEGMENT: u64 = 12 << 10;

/// Everything that was handed over, by epoch, and how much of it must be there.
#[derive(Default)]
struct Oracle {
    /// What the epochs come to that must be there and are no longer in `epochs`.
    base: Fold,
    epochs: Vec<(u64, Vec<Owned>)>,
    must: usize,
    generation: u64,
    next: u64,
}

/// What happened in a campaign.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    cuts: u64,
    sweeps: u64,
    recycled: usize,
}

impl Oracle {
    /// Checks what was replayed: what a prefix of the epochs comes to that has all that must be
    /// there; the epochs behind it are gone.
    fn recovered(&mut self, seen: &Fold, log: &super::super::LocalLog) -> Result<(), String> {
        let (mut count, mut expected) = (0, self.base.clone());
        while count < self.must || expected != *seen {
            let Some((_, entries)) = self.epochs.get(count) else {
                return Err(difference(&expected, seen));
            };
            entries.iter().for_each(|entry| fold(&mut expected, &as_replayed(entry)));
            count += 1;
        }
        self.epochs.truncate(count);
        for (_, key) in seen.keys().filter(|(kind, _)| *kind == EntryKind::DeadLetter) {
            let number = u64::from_le_bytes(key[..].try_into().unwrap());
            let payload = log.dead_letter_payload(number).map_err(|error| error.to_string())?;
            if payload != Some(payload_of(number)) {
                return Err(format!("the payload of dead letter {number} is another"));
            }
        }
        Ok(())
    }

    /// A start has secured what it recovered.
    fn secured(&mut self, seen: &Fold) {
        self.base.clone_from(seen);
        self.epochs.clear();
        self.must = 0;
    }
}

fn difference(expected: &Fold, seen: &Fold) -> String {
    let odd = seen.iter().find(|(key, value)| expected.get(key) != Some(value));
    let lost = expected.iter().find(|(key, _)| !seen.contains_key(key));
    format!("recovered {odd:?}, lost {lost:?}")
}

/// One life of the process: until it fails, is killed, or stops.
fn live(
    disk: &SimDisk,
    random: &mut Random,
    oracle: &mut Oracle,
    (groups, mistake): (u64, Option<Mistake>),
    happened: &mut Happened,
) -> Result<(), String> {
    let dead = |error: StoreError| match &error {
        StoreError::Io { cause, .. } if disk.is_cut() || cause.to_string() == "EIO" => Ok(()),
        _ => Err(format!("refused: {error}")),
    };
    let opened = Driver::open_as(Arc::new(disk.clone()), random.below(u64::MAX), SEGMENT, mistake);
    let mut driver = match opened {
        Ok(driver) => driver,
        Err(error) => return dead(error),
    };
    let mut seen = Fold::new();
    let replayed = match driver.replay() {
        Ok(replayed) => replayed,
        Err(error) => return dead(error),
    };
    replayed.iter().for_each(|entry| fold(&mut seen, entry));
    oracle.recovered(&seen, &driver.log)?;
    let count = 1 + random.below(3) as usize;
    let claimed = match driver.log.claim(count) {
        Ok(claimed) => claimed,
        Err(error) => return dead(error),
    };
    if claimed.generation <= oracle.generation {
        return Err(format!("{claimed:?} after generation {}", oracle.generation));
    }
    oracle.generation = claimed.generation;
    oracle.secured(&seen);
    let mut workers: Vec<_> = (0..count).map(|index| Worker::new(index, count, &seen)).collect();
    let mut epoch = claimed.base + 1;
    for _ in 0..groups {
        for _ in 0..=random.below(3) {
            epochs(&mut workers, random, oracle, &driver, epoch);
            epoch += 1;
        }
        let wanted = driver.log.sweep().is_some();
        (0..count).for_each(|worker| driver.log.closed(worker, epoch));
        let done = driver.wait(epoch);
        happened.sweeps += u64::from(wanted && driver.log.sweep().is_none());
        let steps = disk.take_log();
        happened.recycled += steps.iter().filter(|it| it.starts_with("write spare")).count();
        let durable = driver.log.durable(0);
        oracle.must = oracle.epochs.iter().filter(|(epoch, _)| *epoch < durable).count();
        if !done || (random.below(6) == 0 && driver.log.seal().is_err()) {
            break;
        }
    }
    match driver.into_failures().len() {
        0 | 1 => Ok(()),
        more => Err(format!("on_failure was called {more} times")),
    }
}

/// What all workers do in one epoch.
fn epochs(
    workers: &mut [Worker],
    random: &mut Random,
    oracle: &mut Oracle,
    driver: &Driver,
    epoch: u64,
) {
    let count = workers.len();
    let mut all = vec![];
    for worker in workers {
        let changes = worker.changes(count, random, &mut oracle.next);
        driver.append(worker.index, epoch, &changes);
        all.extend(changes);
        if let Some(order) = driver.log.sweep() {
            let part = worker.sweep(order, random);
            // It says nothing new; the oracle need not know it.
            assert!(entries(part.bytes()).all(|entry| entry.is_some()));
            driver.log.append(worker.index, epoch, part);
        }
    }
    oracle.epochs.push((epoch, all));
}

/// Several lives on one disk.
fn campaign(seed: u64, mistake: Option<Mistake>) -> Result<Happened, String> {
    let mut random = Random(seed << 32);
    let (mut disk, mut oracle) = (SimDisk::default(), Oracle::default());
    let mut happened = Happened::default();
    for _ in 0..6 {
        let groups = 1 + random.below(60);
        match random.below(8) {
            0 | 1 => {}
            2 => disk.fail_sync_after(random.below(80)),
            _ => disk.cut_after(random.below(240)),
        }
        live(&disk, &mut random, &mut oracle, (groups, mistake), &mut happened)?;
        if disk.is_cut() || random.below(3) == 0 {
            disk = disk.power_cut(&mut random);
            happened.cuts += 1;
        }
    }
    let end = disk.power_cut(&mut random);
    live(&end, &mut random, &mut oracle, (0, mistake), &mut happened)?;
    Ok(happened)
}

/// Campaigns with these seeds, until there were so many power cuts.
fn campaigns(seeds: impl Iterator<Item = u64>, cuts: u64) -> Happened {
    let mut all = Happened::default();
    for seed in seeds {
        let happened = campaign(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        all.cuts += happened.cuts;
        all.sweeps += happened.sweeps;
        all.recycled += happened.recycled;
        if all.cuts >= cuts {
            break;
        }
    }
    println!("{all:?}");
    all
}

#[test]
fn law_d2_what_was_durable_survives_every_sweep_and_what_was_removed_stays_away() {
    let all = campaigns(0..200, u64::MAX);
    assert!(all.sweeps > 200 && all.cuts > 200 && all.recycled > 300, "{all:?}");
}

#[test]
#[ignore = "cargo xtask faults simulation: 10,000 power cuts"]
fn full_10_000_power_cuts_between_sweeps_lose_nothing() {
    let all = campaigns(10_000.., 10_000);
    println!("log with sweeps: {} power cuts, {} sweeps, 0 violations", all.cuts, all.sweeps);
}

/// The power goes in the middle of every step of a life with sweeps, one after the other.
#[test]
fn law_d2_a_power_cut_at_every_step_of_a_sweep_loses_nothing() {
    let mut all = Happened::default();
    for step in 0..300 {
        for seed in 0..2 {
            let mut random = Random(seed << 40);
            let (disk, mut oracle) = (SimDisk::default(), Oracle::default());
            disk.cut_after(step);
            let mut lives = |disk: &SimDisk, groups| {
                live(disk, &mut random, &mut oracle, (groups, None), &mut all)
                    .unwrap_or_else(|error| panic!("step {step}, seed {seed}: {error}"));
            };
            lives(&disk, 80);
            let after = disk.power_cut(&mut Random(step));
            lives(&after, 4);
            lives(&after.power_cut(&mut Random(step + 1)), 0);
        }
    }
    println!("{all:?}");
    assert!(all.sweeps > 150, "{all:?}");
}

#[test]
fn law_d7_a_flipped_bit_of_a_swept_log_is_refused_or_harmless() {
    let disk = swept();
    let contents = |disk: SimDisk| -> Result<Fold, StoreError> {
        let driver = Driver::open_as(Arc::new(disk), 4, SEGMENT, None)?;
        let mut seen = Fold::new();
        driver.replay()?.iter().for_each(|entry| fold(&mut seen, entry));
        Ok(seen)
    };
    let whole = contents(disk.copy()).unwrap();
    let (mut random, mut refused) = (Random(9), 0);
    for _ in 0..2000 {
        let names = disk.segments();
        let name = &names[random.below(names.len() as u64) as usize];
        let mut bytes = disk.bytes(name);
        let bit = random.below(bytes.len() as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let copy = disk.copy();
        copy.put(name, &bytes);
        match contents(copy) {
            Ok(seen) => assert_eq!(seen, whole, "{name}, bit {bit}"),
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{name}, bit {bit}: {error}"),
        }
    }
    println!("{refused} of 2000 refused");
    assert!(refused > 1000);
}

/// Seeds until a planted mistake is seen, at most this many.
fn caught(mistake: Mistake) -> String {
    let found = (0..200).find_map(|seed| campaign(seed, Some(mistake)).err().map(|it| (seed, it)));
    let (seed, error) = found.unwrap_or_else(|| panic!("{mistake:?} was not caught"));
    format!("{mistake:?}: seed {seed}: {error}")
}

#[test]
fn every_planted_mistake_of_sweeps_is_caught() {
    for mistake in [
        Mistake::SweepOfOneWorker,
        Mistake::SweepWithoutLedger,
        Mistake::SweepBeforeSync,
        Mistake::RetireBeforeHeader,
        Mistake::DroppedLetterKept,
    ] {
        println!("{}", caught(mistake));
    }
}

/// Longer, so that headers do not count.
const QUIET_SEGMENT: u64 = 64 << 10;

/// Writes what changes twins, and what the sweep asks for, without anything that could fail.
struct Quiet {
    driver: Driver,
    worker: Worker,
    random: Random,
    next: u64,
    epoch: u64,
}

impl Quiet {
    fn new(disk: &SimDisk) -> Self {
        let driver = Driver::open_as(Arc::new(disk.clone()), 3, QUIET_SEGMENT, None).unwrap();
        let seen = driver.replay().unwrap();
        let mut live = Fold::new();
        seen.iter().for_each(|entry| fold(&mut live, entry));
        let claimed = driver.log.claim(1).unwrap();
        let mut worker = Worker::new(0, 1, &live);
        worker.pace = Some(2);
        Self { driver, worker, random: Random(1), next: 1, epoch: claimed.base + 1 }
    }

    /// One epoch: changes unless nothing is taken in, and a piece of the sweep.
    fn epoch(&mut self) {
        if !self.driver.log.check_room() {
            self.next += 1;
            let twin = (EntryKind::State, vec![self.next as u8 % 8], vec![1; 3000]);
            fold(&mut self.worker.live, &twin);
            self.driver.append(0, self.epoch, &[twin]);
        }
        if let Some(order) = self.driver.log.sweep() {
            let part = self.worker.sweep(order, &mut self.random);
            self.driver.log.append(0, self.epoch, part);
        }
        self.epoch += 1;
        self.driver.log.closed(0, self.epoch);
        assert!(self.driver.wait(self.epoch), "{:?}", self.driver.failures);
    }
}

/// A log whose first segments have gone.
pub(super) fn swept() -> SimDisk {
    let disk = SimDisk::default();
    let mut quiet = Quiet::new(&disk);
    (0..300).for_each(|_| quiet.epoch());
    quiet.driver.log.seal().unwrap();
    disk
}

#[test]
fn law_d10_segments_are_used_again_and_the_directory_stays_bounded() {
    let disk = SimDisk::default();
    let mut quiet = Quiet::new(&disk);
    let (mut most, mut written) = (0, 0);
    for _ in 0..600 {
        quiet.epoch();
        most = most.max(quiet.driver.log.statistics().disk_bytes);
        written += disk.take_log().iter().filter(|it| it.starts_with("write ")).count();
    }
    let live = 8 * 3000;
    println!("{most} bytes at most with {live} alive and {written} groups written");
    assert!(written > 500 && most < 3 * live + 8 * QUIET_SEGMENT, "{most} bytes");
    let made = disk.segments_made();
    assert!(made < 30, "{made} files were ever made for segments");
    drop(quiet.driver);
    let mut seen = Fold::new();
    let driver = Driver::open_as(Arc::new(disk), 4, QUIET_SEGMENT, None).unwrap();
    driver.replay().unwrap().iter().for_each(|entry| fold(&mut seen, entry));
    assert_eq!(seen, quiet.worker.live);
}

#[test]
fn law_d10_intake_stops_before_the_disk_is_full_and_goes_on_after_the_sweep() {
    let disk = SimDisk::default();
    let mut quiet = Quiet::new(&disk);
    (0..20).for_each(|_| quiet.epoch());
    let used = quiet.driver.log.statistics().disk_bytes;
    disk.resize(used + 7 * QUIET_SEGMENT);
    let (mut stopped, mut resumed, mut before) = (0, 0, false);
    for _ in 0..400 {
        quiet.epoch();
        let full = quiet.driver.log.is_full();
        stopped += u64::from(full);
        resumed += u64::from(before && !full);
        before = full;
        if full && let Some(order) = quiet.driver.log.sweep() {
            assert!(order.urgent);
        }
        // As after 100 ms: the frame that makes the end of a sweep count.
        quiet.driver.log.seal().unwrap();
    }
    println!("stopped for {stopped} of 400 epochs, went on {resumed} times");
    assert!(
        stopped > 0 && stopped < 200 && resumed > 3,
        "stopped for {stopped} epochs, resumed {resumed} times"
    );
    disk.resize(0);
    assert!(!quiet.driver.log.check_room());
}

#[test]
fn a_write_that_does_not_fit_ends_the_log_and_nothing_of_it_is_durable() {
    let disk = SimDisk::default();
    let mut quiet = Quiet::new(&disk);
    quiet.epoch();
    disk.resize(1);
    let twin = (EntryKind::State, vec![1], vec![1; 30_000]);
    quiet.driver.append(0, quiet.epoch, &[twin]);
    quiet.driver.log.closed(0, quiet.epoch + 1);
    assert!(!quiet.driver.wait(quiet.epoch + 1));
    let failures = quiet.driver.into_failures();
    assert!(matches!(&failures[..], [StoreError::Full { .. }]), "{failures:?}");
}
