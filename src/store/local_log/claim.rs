//! Who may append: a numbered record for each generation, made only if there is none of its number
//! (docs/internals/failure.md).
//!
//! A start makes the next record, removes the older ones, and reads the log only then. A running
//! generation looks after each sync whether its own record is still there. What it acknowledges was
//! synced before such a look, so it was synced before the next start began to read.

use std::io;
use std::sync::Arc;

use twinflow_operators::mistakes::{self, Mistake};
use twinflow_operators::store::StoreError;

use super::disk::{Access, Disk, DiskFile, Identity};
use super::error::{disk_error, open_error};
use crate::fail_points;

/// Starts that may take a number at the same moment before one of them gives up.
const TRIES: usize = 100;

/// Name of the record of a generation.
fn claim_name(generation: u64) -> String {
    format!("claim-{generation:010}")
}

/// The generation of a record, by its name.
fn claim_number(name: &str) -> Option<u64> {
    name.strip_prefix("claim-").filter(|number| number.len() >= 10)?.parse().ok()
}

/// Whether it is a record that is being made.
pub(super) fn is_half_made(name: &str) -> bool {
    name.starts_with("claim-") && name.ends_with(".new")
}

/// The newest generation that has a record.
fn newest(names: &[String]) -> Option<u64> {
    names.iter().filter_map(|name| claim_number(name)).max()
}

/// Whether any generation has a record.
pub(super) fn is_claimed(disk: &dyn Disk) -> bool {
    disk.list().is_ok_and(|names| newest(&names).is_some())
}

/// The generation that a start takes, given the records that there are: above all of them, and not
/// below `least`.
fn next(names: &[String], least: u64) -> u64 {
    newest(names).map_or(1, |newest| newest + 1).max(least)
}

/// Whether a generation goes on: its record is the file that it made.
fn stands(own: Identity, seen: Option<Identity>) -> bool {
    seen == Some(own)
}

fn text(generation: u64, nonce: u64) -> String {
    let text = format!("twinflow claim 1\ngeneration {generation}\nnonce {nonce:016x}\n");
    format!("{text}check {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// A generation that was taken.
pub(super) struct Claim {
    disk: Arc<dyn Disk>,
    pub(super) generation: u64,
    name: String,
    own: Identity,
    /// Open, so that no other file gets its number.
    _file: Box<dyn DiskFile>,
}

impl Claim {
    /// Takes the next generation, at least this one. `nonce` tells this start from every other.
    pub(super) fn take(disk: &Arc<dyn Disk>, nonce: u64, least: u64) -> Result<Self, StoreError> {
        let place = disk.place();
        let error = |cause| open_error(&place, "claim", cause);
        for _ in 0..TRIES {
            let generation = next(&disk.list().map_err(error)?, least);
            let made = Self::make(disk, generation, nonce).map_err(error)?;
            if let Some(claim) = made
                && claim.end_others().map_err(error)?
            {
                return Ok(claim);
            }
        }
        let why = format!(
            "state directory \"{place}\" is claimed by others again and again; stop them, or \
             choose another directory"
        );
        Err(StoreError::Refused { why })
    }

    /// Makes the record of a generation; `None` if another start has.
    fn make(disk: &Arc<dyn Disk>, generation: u64, nonce: u64) -> io::Result<Option<Self>> {
        let (name, text) = (claim_name(generation), text(generation, nonce));
        let new = format!("{name}-{nonce:016x}.new");
        let file = disk.open(&new, Access::Create)?;
        file.write_at(0, text.as_bytes())?;
        file.sync()?;
        fail_points::pass("claim-written");
        let mut file = file;
        if let Err(error) = disk.rename_new(&new, &name) {
            // A file server may have done it and its answer was lost: the nonce says who was first.
            let found = disk.open(&name, Access::Read);
            let is_ours = match &found {
                Ok(found) => read(&**found)? == text.as_bytes(),
                Err(_) => false,
            };
            remove(&**disk, &new)?;
            match (found, error.kind()) {
                (Ok(found), _) if is_ours => file = found,
                // Another start was first, or has removed what it took for a leftover.
                (_, io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => return Ok(None),
                _ => return Err(error),
            }
        }
        disk.sync_names()?;
        // Without one, a newer start has removed it already.
        let Some(own) = disk.identity(&name)? else { return Ok(None) };
        fail_points::pass("claim-made");
        Ok(Some(Self { disk: Arc::clone(disk), generation, name, own, _file: file }))
    }

    /// The records of older generations go: none of them acknowledges anything from here on. Says
    /// whether this is the newest: one that was made late, when its number was free again, is not.
    fn end_others(&self) -> io::Result<bool> {
        let names = self.disk.list()?;
        if newest(&names) != Some(self.generation) {
            remove(&*self.disk, &self.name)?;
            return Ok(false);
        }
        let older = |name: &&String| claim_number(name).is_some_and(|it| it < self.generation);
        names.iter().filter(older).try_for_each(|name| remove(&*self.disk, name))?;
        fail_points::pass("others-ended");
        Ok(true)
    }

    /// Whether nothing that was synced before now is missed by a later start.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let seen = self.disk.identity(&self.name);
        let seen = seen.map_err(|cause| disk_error(format!("look at \"{}\"", self.name), cause))?;
        if stands(self.own, seen) || mistakes::has(Mistake::FencedGoesOn) {
            return Ok(());
        }
        let names = self.disk.list().unwrap_or_default();
        let (own, place) = (self.generation, self.disk.place());
        let by = newest(&names).filter(|newest| *newest > own);
        Err(StoreError::Fenced { own, by, place })
    }

    /// What is behind an error: that this generation is fenced, or the error itself.
    pub(super) fn behind(&self, error: StoreError) -> StoreError {
        match self.check() {
            Err(fenced @ StoreError::Fenced { .. }) => fenced,
            _ => error,
        }
    }
}

fn read(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.length()?.min(4096) as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Removes a file that another process may have removed.
pub(super) fn remove(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::SimDisk;
    use super::*;

    fn take(disk: &SimDisk, nonce: u64) -> Claim {
        Claim::take(&(Arc::new(disk.clone()) as Arc<dyn Disk>), nonce, 1).unwrap()
    }

    fn names(disk: &SimDisk) -> Vec<String> {
        disk.list().unwrap()
    }

    #[test]
    fn a_later_claim_ends_an_earlier_one_and_names_both() {
        let disk = SimDisk::default();
        let first = take(&disk, 1);
        first.check().unwrap();
        let second = take(&disk, 2);
        assert_eq!((first.generation, second.generation), (1, 2));
        assert_eq!(names(&disk), ["claim-0000000002"]);
        second.check().unwrap();
        let fenced = first.check().unwrap_err().to_string();
        assert_eq!(fenced, "generation 1 is fenced: generation 2 has taken over \"simulated\"");
        let third = take(&disk, 3);
        assert!(first.check().unwrap_err().to_string().contains("generation 3 has"));
        assert!(second.check().is_err() && third.check().is_ok());
    }

    #[test]
    fn a_claim_in_a_directory_that_was_copied_is_not_that_of_the_process() {
        let disk = SimDisk::default();
        let claim = take(&disk, 1);
        let bytes = disk.bytes("claim-0000000001");
        disk.put("claim-0000000001", &bytes);
        let fenced = claim.check().unwrap_err().to_string();
        assert!(fenced.contains("its claim is gone from \"simulated\""), "{fenced}");
        disk.delete("claim-0000000001");
        assert!(claim.check().is_err());
    }

    #[test]
    fn two_starts_at_once_take_two_numbers_and_one_of_them_goes_on() {
        for steps in 0..9 {
            let disk = SimDisk::default();
            disk.cut_after(steps);
            let cut = Claim::take(&(Arc::new(disk.clone()) as Arc<dyn Disk>), 1, 1);
            disk.killed();
            let next = take(&disk, 2);
            next.check().unwrap();
            assert!(cut.is_err() || next.generation == 2, "{steps}");
            assert!(cut.is_err_and(|_| true) || steps > 4);
        }
    }

    #[test]
    fn an_answer_that_was_lost_is_read_back_by_its_nonce() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
        let make = |nonce| Claim::make(&disk, 7, nonce).unwrap();
        assert!(make(1).is_some());
        assert!(make(2).is_none(), "it is another's");
        assert!(make(1).is_some(), "the second try of the first");
    }

    #[test]
    fn records_are_told_from_everything_else() {
        let names = ["claim-0000000007", "claim-0000000012", "claim-0000000013-ff.new", "claim-1"];
        let names = names.map(str::to_owned);
        assert_eq!((newest(&names), next(&names, 1), next(&names, 20)), (Some(12), 13, 20));
        assert_eq!((newest(&[]), next(&[], 1)), (None, 1));
        assert!(is_half_made(&names[2]) && !is_half_made(&names[1]));
    }
}
