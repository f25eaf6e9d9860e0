//! What a start writes again of the log that it finds.

use std::sync::Arc;

use twinflow_operators::store::EpochStore;

use super::super::Disk;
use super::super::format::BLOCK;
use super::super::simulated::{Random, SimDisk};
use super::driver::{Driver, Owned, claimed, contents, state};

/// A log of one segment with so many groups, whose process was killed, and what it holds.
fn killed(epochs: u64) -> (SimDisk, Vec<Owned>) {
    let disk = SimDisk::default();
    let (mut driver, _) = claimed(Arc::new(disk.clone()), 1, 1);
    let all: Vec<_> = (1..=epochs).map(|epoch| state(epoch, 900)).collect();
    for (epoch, entry) in (1..).zip(&all) {
        driver.append(0, epoch, std::slice::from_ref(entry));
        driver.log.closed(0, epoch + 1);
        assert!(driver.wait(epoch + 1));
    }
    drop(driver);
    disk.take_log();
    (disk, all)
}

/// Names of segments with their lengths.
fn lengths(disk: &SimDisk) -> Vec<(String, usize)> {
    disk.segments().into_iter().map(|name| (name.clone(), disk.bytes(&name).len())).collect()
}

#[test]
fn of_a_long_segment_only_the_last_group_is_written_again() {
    let (disk, all) = killed(3);
    let block = BLOCK as usize;
    assert_eq!(lengths(&disk), [("segment-0000000001.log".to_owned(), 5 * block)]);
    drop(claimed(Arc::new(disk.clone()), 2, 1));
    // Header, the last group, and the first frame of the new generation.
    let moved = ("segment-0000000002.log".to_owned(), 3 * block);
    assert_eq!(lengths(&disk)[1..], [moved]);
    assert_eq!(lengths(&disk)[0].1, 5 * block, "the old one is as it was");
    assert_eq!(contents(Arc::new(disk.clone())).unwrap(), all);

    // What the old one holds of that group does not count any more, what is before it does.
    let spoiled = |at: usize| {
        let disk = disk.copy();
        let mut bytes = disk.bytes("segment-0000000001.log");
        bytes[at] ^= 1;
        disk.put("segment-0000000001.log", &bytes);
        contents(Arc::new(disk)).map_err(|error| error.to_string())
    };
    assert_eq!(spoiled(4 * block + 100), Ok(all));
    let refused = spoiled(3 * block + 100).unwrap_err();
    assert!(refused.contains("\"segment-0000000001.log\" at 12288"), "{refused}");
}

#[test]
fn a_start_that_loses_power_at_any_step_loses_nothing() {
    for (epochs, steps) in [(1, 30), (3, 30)] {
        for step in 0..steps {
            for seed in 0..4 {
                let (disk, all) = killed(epochs);
                disk.cut_after(step);
                if let Ok(driver) = Driver::open(Arc::new(disk.clone()), 2)
                    && driver.replay().is_ok()
                {
                    drop(driver.log.claim(1));
                }
                let after = disk.power_cut(&mut Random(seed));
                let found = contents(Arc::new(after.clone()) as Arc<dyn Disk>);
                assert_eq!(found.unwrap(), all, "{epochs} epochs, step {step}, seed {seed}");
            }
        }
    }
}
