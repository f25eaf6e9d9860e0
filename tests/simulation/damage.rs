//! Bits that flip in a log whose engine is gone: refused, or without effect.

use std::sync::Arc;

use twinflow::store::{LocalLog, LogOptions, Random, SimDisk};
use twinflow_operators::store::{EpochStore, StoreError};

use crate::{mistakes::honest, world::World};

type Entry = (u8, u16, Vec<u8>, Vec<u8>);

/// Everything that a log gives back.
fn contents(disk: SimDisk) -> Result<Vec<Entry>, StoreError> {
    let log = LocalLog::open_on(Arc::new(disk), LogOptions::new(1, Arc::new(|_| {})))?;
    let mut all = vec![];
    log.replay(&mut |entry| {
        all.push((entry.kind as u8, entry.space, entry.key.to_vec(), entry.value.to_vec()));
    })?;
    Ok(all)
}

/// One flipped bit each, in logs that engines left behind; what is wrong with what came of it.
pub(crate) fn flips(count: u64) -> impl Iterator<Item = Result<(), String>> {
    let mut left: Option<(SimDisk, Vec<Entry>)> = None;
    let mut random = Random(77);
    (0..count).map(move |nth| {
        if nth % 100 == 0 {
            let disk = World::new(nth).left()?;
            let whole = contents(disk.copy()).map_err(|error| error.to_string())?;
            left = Some((disk, whole));
        }
        let (disk, whole) = left.as_ref().expect("the first has one");
        let names = disk.segments();
        let name = &names[random.below(names.len() as u64) as usize];
        let mut bytes = disk.bytes(name);
        let bit = random.below(bytes.len() as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let flipped = disk.copy();
        flipped.put(name, &bytes);
        match contents(flipped) {
            Ok(seen) if seen == *whole => Ok(()),
            Ok(seen) if whole.starts_with(&seen) => {
                let lost = whole.len() - seen.len();
                Err(format!("{name}, bit {bit}: {lost} entries were lost silently"))
            }
            Ok(_) => Err(format!("{name}, bit {bit}: a state that never was")),
            Err(StoreError::Corrupt { .. }) => Ok(()),
            Err(error) => Err(format!("{name}, bit {bit}: {error}")),
        }
    })
}

#[test]
fn law_d7_a_bit_that_flips_loses_nothing_silently_and_invents_nothing() {
    let _honest = honest();
    let flips = flips(2000).map(|flip| flip.unwrap()).count();
    println!("{flips} flipped bits, each refused or without effect");
}
