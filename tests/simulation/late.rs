//! The log alone, with a process that stands still before any of its steps and goes on before any
//! of its successor's: small, so that every pair of steps is tried.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

use twinflow::store::{LocalLog, LogOptions, SimDisk};
use twinflow_operators::store::{EntryKind, EpochPart, EpochStore, StoreError};

use crate::{mistakes::honest, oracle::Verdict};

/// Two groups and a header fit.
const SEGMENT: u64 = 12 << 10;

/// What one process found and wrote.
#[derive(Debug, Default)]
struct Life {
    /// Keys of what it found; none if it could not read.
    found: Option<Vec<String>>,
    /// Keys of what it was told is durable.
    told: Vec<String>,
    failed: Option<StoreError>,
}

impl Life {
    /// Whether it ended for nothing but what another process did, or not at all.
    fn is_well(&self) -> bool {
        match &self.failed {
            None | Some(StoreError::Fenced { .. }) => true,
            Some(error) => format!("{error:?}").contains("another process has "),
        }
    }
}

/// A process that writes so many epochs, and perhaps seals: at the end, and whenever it is idle.
fn live(disk: &SimDisk, name: &str, epochs: u64, (seals, idle): (bool, bool)) -> Life {
    let mut life = Life::default();
    life.failed = write(disk, name, epochs, (seals, idle), &mut life).err();
    life
}

fn write(
    disk: &SimDisk,
    name: &str,
    epochs: u64,
    (seals, idle): (bool, bool),
    life: &mut Life,
) -> Result<(), StoreError> {
    // A bell for each epoch, and a failure.
    let (ring, rung) = sync_channel(64);
    let failed = ring.clone();
    let failed = Arc::new(move |error| failed.send(Some(error)).unwrap());
    let seed = name.bytes().map(u64::from).sum();
    let mut options = LogOptions::new(seed, failed);
    options.segment_bytes = SEGMENT;
    options.seal_after = if idle { Duration::ZERO } else { Duration::from_secs(3600) };
    let log = LocalLog::open_on(Arc::new(disk.clone()), options)?;
    log.attach(0, Box::new(move || ring.send(None).unwrap()));
    let mut found = vec![];
    log.replay(&mut |entry| found.push(String::from_utf8_lossy(entry.key).into_owned()))?;
    life.found = Some(found);
    let base = log.claim(1)?.base;
    for epoch in base + 1..=base + epochs {
        let mut part = EpochPart::default();
        let key = format!("{name}-{epoch}");
        part.put(EntryKind::State, 1, 1, key.as_bytes(), &[7; 100]);
        log.append(0, epoch, part);
        log.closed(0, epoch + 1);
        if let Some(error) = failure(&log, &rung, epoch) {
            return Err(error);
        }
        life.told.push(key);
    }
    if seals && let Err(error) = log.seal() {
        // What is behind it was said before.
        return Err(rung.try_iter().flatten().next().unwrap_or(error));
    }
    Ok(())
}

/// Waits until an epoch is durable, or never will be.
fn failure(log: &LocalLog, rung: &Receiver<Option<StoreError>>, epoch: u64) -> Option<StoreError> {
    while log.durable(0) <= epoch {
        if let Some(error) = rung.recv_timeout(Duration::from_secs(120)).unwrap() {
            return Some(error);
        }
    }
    None
}

/// Lets a process go on when it is dropped.
struct GoesOn<'d>(&'d SimDisk);

impl Drop for GoesOn<'_> {
    fn drop(&mut self) {
        self.0.process().go_on();
    }
}

/// What came of one pair.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    paused: bool,
    fenced: bool,
}

/// One process after another; the second stands still before its `pause`th step, and goes on before
/// the `go_on`th of the third.
fn pair(pause: u64, go_on: u64) -> Result<Pair, String> {
    let disk = SimDisk::default();
    let first = live(&disk, "first", 3, (pause.is_multiple_of(2), false));
    assert!(first.failed.is_none() || !pause.is_multiple_of(2));
    // A log that is sealed whenever it is idle, or only at its end.
    let idle = (pause / 2 + go_on).is_multiple_of(2);
    let (zombie, next) = (disk.of_another_process(), disk.of_another_process());
    let (paused, pauses) = sync_channel(1);
    zombie.process().pause_after(pause, Arc::new(move || paused.send(()).unwrap()));
    let own = zombie.clone();
    let (second, third, paused) = std::thread::scope(|scope| {
        let second = scope.spawn(move || live(&own, "second", 5, (true, idle)));
        while !second.is_finished() && !zombie.process().is_paused() {
            std::thread::yield_now();
        }
        let paused = pauses.try_recv().is_ok();
        let goes_on = zombie.clone();
        next.process().call_after(go_on, Arc::new(move || goes_on.process().go_on()));
        let _also_if_that_panics = GoesOn(&zombie);
        let third = live(&next, "third", 5, (false, idle));
        zombie.process().go_on();
        (second.join().unwrap(), third, paused)
    });
    let last = live(&disk.of_another_process(), "last", 1, (true, false));
    let fenced = matches!(second.failed, Some(StoreError::Fenced { .. }));
    judge(&[first, second, third], &last)?;
    Ok(Pair { paused, fenced })
}

/// What anybody was told is found at the end, once; and nothing came between what somebody found
/// and what he wrote behind it.
fn judge(lives: &[Life], last: &Life) -> Verdict {
    let Some(found) = last.found.as_ref().filter(|_| last.failed.is_none()) else {
        return Err(format!("refused at the end: {:?}", last.failed));
    };
    for life in lives {
        if !life.is_well() {
            return Err(format!("{:?}", life.failed));
        }
        for key in &life.told {
            let times = found.iter().filter(|found| *found == key).count();
            if times != 1 {
                return Err(format!("{key} was told, and is there {times} times: {found:?}"));
            }
        }
        let (Some(before), Some(first)) = (&life.found, life.told.first()) else { continue };
        let at = found.iter().position(|key| key == first);
        if at != Some(before.len()) || !found.starts_with(before) {
            return Err(format!("{first} was written behind {before:?}, and is in {found:?}"));
        }
    }
    Ok(())
}

/// Pairs of steps: of so many of the zombie with each `stride`-th of its successor.
fn pairs(stride: usize) -> impl Iterator<Item = Result<Pair, String>> {
    (0..110).flat_map(move |pause| {
        let go_on = (pause as usize % stride..110).step_by(stride);
        go_on.map(move |go_on| {
            let went = pair(pause, go_on as u64);
            went.map_err(|why| format!("paused before {pause}, went on before {go_on}: {why}"))
        })
    })
}

/// The same, for mistakes.
pub(crate) fn late() -> impl Iterator<Item = Result<(), String>> {
    pairs(3).map(|pair| pair.map(|_| ()))
}

fn all(stride: usize) {
    let _honest = honest();
    let (mut count, mut paused, mut fenced) = (0, 0, 0);
    for pair in pairs(stride) {
        let pair = pair.unwrap();
        count += 1;
        paused += u64::from(pair.paused);
        fenced += u64::from(pair.fenced);
    }
    println!("{count} pairs of steps, {paused} zombies, {fenced} of them fenced; 0 violations");
    assert!(paused > count / 2 && fenced > paused / 2, "{paused}, {fenced} of {count}");
}

#[test]
fn quick_a_late_process_of_any_step_appends_nothing_that_counts() {
    all(11);
}

#[test]
#[ignore = "cargo xtask faults simulation: 12,100 pairs of steps"]
fn full_a_late_process_of_every_step_appends_nothing_that_counts() {
    all(1);
}
