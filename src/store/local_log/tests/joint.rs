//! Epochs that share a sync count together or not at all: a twin that changed in several of them
//! has one entry, and what an earlier one of them says alone is no state that ever was.

use std::collections::BTreeMap;
use std::sync::Arc;

use twinflow_operators::store::{EntryKind, EpochPart, EpochStore};

use super::super::simulated::{Random, SimDisk};
use super::driver::{Driver, Owned};

const WORKERS: usize = 2;

/// What a worker has not handed over: a state that each epoch writes over, and a position of each.
#[derive(Default)]
struct Worker {
    worked_off: u64,
    handed: u64,
    /// The parts that epochs of a group share, with the last epoch.
    states: Vec<(u64, EpochPart)>,
    positions: BTreeMap<u64, EpochPart>,
}

impl Worker {
    /// Works off the next epoch: both entries hold its number.
    fn work_off(&mut self, number: usize, log: &dyn EpochStore) {
        let epoch = self.worked_off;
        let group = log.group(number, epoch).expect("epochs share commits");
        let (key, value) = ((number as u64).to_le_bytes(), epoch.to_le_bytes());
        let goes_on = |back: &mut (u64, _)| epoch < group || back.0 >= group;
        self.states.pop_if(goes_on);
        let mut state = EpochPart::default();
        state.put(EntryKind::State, 5, 1, &key, &value);
        self.states.push((epoch, state));
        let mut position = EpochPart::default();
        position.put_ledger(EntryKind::Position, 1, &key, &value);
        self.positions.insert(epoch, position);
        self.worked_off += 1;
    }

    /// Hands over what it is asked for.
    fn hand_over(&mut self, number: usize, log: &dyn EpochStore) {
        let states = self.states.iter().map(|(_, part)| part);
        let held = states.chain(self.positions.values()).map(|part| part.bytes().len() as u64);
        let cut = log.cut(number, self.worked_off, held.sum());
        if cut <= self.handed || cut > self.worked_off {
            return;
        }
        let later = self.positions.split_off(&cut);
        for (epoch, part) in std::mem::replace(&mut self.positions, later) {
            log.append(number, epoch, part);
        }
        let later = self.states.split_off(self.states.partition_point(|(last, _)| *last < cut));
        for (epoch, part) in std::mem::replace(&mut self.states, later) {
            log.append(number, epoch, part);
        }
        log.closed(number, cut);
        self.handed = cut;
    }
}

/// The last value of each entry, all of which are numbers of epochs.
fn last(entries: Vec<Owned>) -> BTreeMap<(u8, Vec<u8>), u64> {
    let number = |value: Vec<u8>| u64::from_le_bytes(value.try_into().unwrap());
    entries.into_iter().map(|(kind, key, value)| ((kind as u8, key), number(value))).collect()
}

/// Runs a log until the power goes, and looks at what is left; how many groups were durable.
fn run(seed: u64) -> usize {
    let mut random = Random(seed << 32);
    let mut disk = SimDisk::default();
    let mut groups = 0;
    let mut acknowledged = 0;
    for generation in 1..4 {
        let driver = Driver::sharing(Arc::new(disk.clone()), generation).unwrap();
        let found = last(driver.replay().unwrap());
        let newest = found.values().max().copied().unwrap_or(0);
        assert!(newest >= acknowledged, "seed {seed}: {newest} of {acknowledged}");
        assert!(found.values().all(|value| *value == newest), "seed {seed}: {found:?}");
        assert!([0, 2 * WORKERS].contains(&found.len()), "seed {seed}: {found:?}");
        let base = driver.log.claim(WORKERS).unwrap().base;
        assert!(base >= newest);
        disk.cut_after(random.below(60));
        let first = || Worker { worked_off: base + 1, handed: base + 1, ..Worker::default() };
        let mut workers: Vec<_> = (0..WORKERS).map(|_| first()).collect();
        let mut durable = base + 1;
        for _ in 0..3000 {
            let number = random.below(WORKERS as u64) as usize;
            let ahead = workers[number].worked_off
                - workers[1 - number].worked_off.min(workers[number].worked_off);
            match random.below(3) {
                0 | 1 if ahead < 3 => workers[number].work_off(number, &driver.log),
                _ => workers[number].hand_over(number, &driver.log),
            }
            if random.below(8) == 0 {
                std::thread::yield_now();
            }
            groups += usize::from(driver.log.durable(0) > durable);
            durable = driver.log.durable(0);
            if disk.is_cut() {
                break;
            }
        }
        acknowledged = driver.log.durable(0) - 1;
        driver.into_failures();
        disk = disk.power_cut(&mut random);
    }
    groups
}

#[test]
fn law_d1_epochs_that_share_a_sync_survive_together_or_not_at_all() {
    let groups: usize = (0..200).map(run).sum();
    assert!(groups > 1000, "only {groups} groups were durable");
}
