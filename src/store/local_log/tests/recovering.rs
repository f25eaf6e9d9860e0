//! `--recover-from`: the explicit loss (law D7).

use std::sync::Arc;

use twinflow_operators::store::{EpochStore, StoreError};

use super::super::simulated::{Random, SimDisk};
use super::damage::sealed;
use super::driver::{Driver, Owned, claimed, contents, state};

/// The last epoch before the damage.
fn last_good(disk: &SimDisk) -> u64 {
    match contents(Arc::new(disk.copy())).unwrap_err() {
        StoreError::Corrupt { last_good_epoch, .. } => last_good_epoch,
        error => panic!("{error:?}"),
    }
}

/// Recovers, writes one epoch more, and gives what a start without the option finds then.
fn recovered(disk: &SimDisk, epoch: u64) -> Result<(Vec<Owned>, u64), StoreError> {
    let mut driver = Driver::recovering(Arc::new(disk.clone()), epoch)?;
    driver.replay()?;
    let claimed = driver.log.claim(1)?;
    let next = claimed.base + 1;
    driver.append(0, next, &[state(999, 10)]);
    driver.log.closed(0, next + 1);
    assert!(driver.wait(next + 1), "{:?}", driver.failures);
    drop(driver);
    let mut seen = contents(Arc::new(disk.clone()))?;
    assert_eq!(seen.pop(), Some(state(999, 10)));
    Ok((seen, claimed.base))
}

#[test]
fn law_d7_a_damaged_log_goes_on_behind_the_epoch_and_above_all_that_is_found() {
    let (disk, all) = sealed();
    let names = disk.segments();
    for (nth, name) in names.iter().enumerate() {
        let bytes = disk.bytes(name);
        for at in [100, 2000, 4096 + 100, bytes.len() - 4096 + 20] {
            let copy = disk.copy();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            copy.put(name, &flipped);
            if contents(Arc::new(copy.copy())).is_ok() {
                continue;
            }
            let epoch = last_good(&copy);
            let too_far = Driver::recovering(Arc::new(copy.clone()), epoch + 1).unwrap().replay();
            assert!(too_far.unwrap_err().to_string().contains("can be read"), "{name} at {at}");
            let (seen, base) = recovered(&copy, epoch).unwrap();
            assert_eq!(seen, all[..2 * epoch as usize], "{name} at {at}: two entries an epoch");
            let newest_lost = nth + 1 == names.len() && at < 4096;
            assert!(base == 16 || newest_lost, "{name} at {at}: {base} and not above it");
        }
    }
}

#[test]
fn law_d7_an_earlier_epoch_gives_up_more_and_a_missing_segment_is_damage_too() {
    let (disk, all) = sealed();
    disk.delete(&disk.segments()[2]);
    let last = last_good(&disk);
    for epoch in (0..=last).rev() {
        let (seen, base) = recovered(&disk.copy(), epoch).unwrap();
        assert_eq!((seen.len(), base), (2 * epoch as usize, 16));
        assert_eq!(seen, all[..seen.len()]);
    }
}

#[test]
fn a_log_that_is_whole_loses_nothing_by_the_option() {
    let (disk, all) = sealed();
    assert_eq!(recovered(&disk, 3).unwrap(), (all, 16));
}

#[test]
fn law_d7_a_recovery_that_is_cut_off_is_done_again() {
    let (disk, all) = sealed();
    let name = disk.segments()[1].clone();
    let mut bytes = disk.bytes(&name);
    bytes[2 * 4096 + 100] ^= 1;
    disk.put(&name, &bytes);
    let epoch = last_good(&disk);
    let mut whole = 0;
    for seed in 0..8 {
        for steps in 0..60 {
            let copy = disk.copy();
            copy.cut_after(steps);
            let first = Driver::recovering(Arc::new(copy.clone()), epoch);
            let claimed = first.and_then(|driver| driver.log.claim(1));
            let after = copy.power_cut(&mut Random(seed * 1000 + steps));
            let (seen, base) = match contents(Arc::new(after.copy())) {
                // Done: nothing is damaged any more, and the generation began or not.
                Ok(seen) => (seen, 16),
                Err(_) => recovered(&after, epoch).unwrap(),
            };
            assert_eq!((&seen[..], base), (&all[..2 * epoch as usize], 16), "step {steps}");
            whole += u64::from(claimed.is_ok());
        }
    }
    assert!(whole > 0, "no recovery was ever complete");
}

#[test]
fn law_d7_damage_in_what_the_last_sweep_wrote_is_refused_even_so() {
    let disk = super::sweeping::swept();
    let names = disk.segments();
    let mut refused = 0;
    for name in &names {
        let copy = disk.copy();
        let mut bytes = disk.bytes(name);
        bytes[4096 + 60] ^= 1;
        copy.put(name, &bytes);
        let Err(StoreError::Corrupt { last_good_epoch, .. }) = contents(Arc::new(copy.copy()))
        else {
            continue;
        };
        let driver = Driver::recovering(Arc::new(copy), last_good_epoch).unwrap();
        if let Err(error) = driver.replay() {
            assert!(error.to_string().contains("what the last sweep wrote"), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0 && refused < names.len(), "{refused} of {names:?}");
    claimed(Arc::new(disk), 1, 1);
}
