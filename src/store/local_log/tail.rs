//! Makes the end of a log that was found safe to write behind (law D11).
//!
//! What a file shows need not be on the disk: after a failed sync the page cache holds bytes that
//! no later sync writes, and names that are not durable. So whatever no later frame proves, the
//! last group, is written again, and synced, before anything is built on it.
//!
//! And a process that had the log before may still have its files open, and write to them late. So
//! a generation writes to files that it has made itself, under names that nobody has.

use twinflow_operators::store::StoreError;

use super::carry::Carry;
use super::claim::{Claim, remove};
use super::disk::{Disk, DiskFile};
use super::error::disk_error;
use super::format::SegmentHeader;
use super::history::LastFrame;
use super::replay::{Found, Tail};
use super::segment::segment_name;
use super::sweep::Complete;
use super::writer::mix;
use crate::fail_points;

/// Of a segment that holds more than one part in so many of what one may hold, only the last group
/// is written again. A smaller one is copied in whole, so that starts that write little do not
/// leave a file each.
const COPIED_MOST: u64 = 16;

/// The segment to go on in.
pub(super) struct Open {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) number: u64,
    pub(super) seed: u32,
    /// Where the next group begins.
    pub(super) at: u64,
}

/// The end of a log that was made safe.
pub(super) struct Secured {
    /// The segment to go on in; none: the next group begins one.
    pub(super) open: Option<Open>,
    /// Number of the first segment that this generation makes, or will make.
    pub(super) own: u64,
    /// Number of the last segment that was found, if the open one replaces it.
    pub(super) replaced: Option<u64>,
    /// The first segment that is needed, and what the last complete sweep wrote.
    pub(super) complete: Complete,
}

/// Removes files that hold nothing that counts. Whoever claimed later may have made some of them.
pub(super) fn remove_leftovers(
    disk: &dyn Disk,
    claim: &Claim,
    names: &[String],
) -> Result<(), StoreError> {
    claim.check()?;
    for name in names {
        remove(disk, name).map_err(|cause| disk_error(format!("remove \"{name}\""), cause))?;
    }
    fail_points::pass("leftovers-removed");
    Ok(())
}

/// Secures the last frames. Seeds are made of `random`.
pub(super) fn secure(
    disk: &dyn Disk,
    found: &Found,
    claim: &Claim,
    (segment_bytes, random): (u64, u64),
) -> Result<Secured, StoreError> {
    // Whoever claimed later may have written before this one read, and its segments are not to be
    // replaced. Whoever claims from here on finds the number that this one takes, or takes it.
    claim.check()?;
    let own = found.newest + 1;
    let Some(Tail { header, last }) = &found.tail else {
        // A start before this one may have failed to sync a new name.
        disk.sync_names().map_err(|cause| disk_error("sync the names of the log", cause))?;
        remove_replaced(disk, found)?;
        let complete = Complete { first_segment: own, live_bytes: 0 };
        return Ok(Secured { open: None, own, replaced: None, complete });
    };
    let error = |cause| disk_error(format!("secure \"{}\"", segment_name(header.number)), cause);
    let into = |header| Carry { disk, header, generation: claim.generation };
    let large = last.as_ref().filter(|last| last.end > segment_bytes / COPIED_MOST);
    let proven = large.filter(|last| found.cut.is_none() && is_proven_before(header, last));
    let (open, first_segment) = match proven {
        Some(last) => {
            let seed = mix(random ^ own) as u32;
            let moved = SegmentHeader { number: own, before: last.group.before, seed, ..*header };
            (into(moved).move_last_group(header, last).map_err(error)?, header.first_segment)
        }
        None => {
            let needed = header.first_segment == header.number;
            let first_segment = if needed { own } else { header.first_segment };
            let copied = SegmentHeader { number: own, first_segment, ..*header };
            (into(copied).copy(header.number, last.as_ref()).map_err(error)?, first_segment)
        }
    };
    // A newer start may be reading what is replaced.
    claim.check()?;
    remove_replaced(disk, found)?;
    let replaced = proven.is_none().then_some(header.number);
    if let Some(number) = replaced {
        remove(disk, &segment_name(number)).map_err(error)?;
    }
    let complete = Complete { first_segment, live_bytes: header.live_bytes };
    Ok(Secured { open: Some(open), own, replaced, complete })
}

/// Whether a segment has frames before the last group, and that proves them: they are on the disk,
/// whatever the page cache shows of the group itself.
fn is_proven_before(header: &SegmentHeader, last: &LastFrame) -> bool {
    last.group.before.sequence > header.before.sequence && last.proves_the_rest()
}

/// Removes what later segments replace, and what is given up; oldest first: if nothing is kept, the
/// newest says which segment is the first that is needed, and the log is still seen to be damaged.
fn remove_replaced(disk: &dyn Disk, found: &Found) -> Result<(), StoreError> {
    for number in &found.replaced {
        let name = segment_name(*number);
        let removed = remove(disk, &name);
        // What replaces them is durable, so their end need not be.
        let in_order = found.tail.is_none();
        let removed = removed.and_then(|()| if in_order { disk.sync_names() } else { Ok(()) });
        removed.map_err(|cause| disk_error(format!("remove \"{name}\""), cause))?;
    }
    Ok(())
}
