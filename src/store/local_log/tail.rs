//! Makes the end of a log that was found safe to write behind (law D11).
//!
//! What a file shows need not be on the disk: after a failed sync the page cache holds bytes that
//! no later sync writes, and names that are not durable. So whatever no later frame proves is
//! written again, and synced, before anything is built on it.
//!
//! And a process that had the log before may still have its files open, and write to them late. So
//! a generation writes to files that it has made itself, under names that nobody has.

use std::io;

use twinflow_operators::store::StoreError;

use super::claim::{Claim, remove};
use super::disk::{Access, Disk, DiskFile};
use super::error::disk_error;
use super::format::{BLOCK, FRAME_HEAD, FrameHead, FrameKind, SegmentHeader, block_end};
use super::history::LastFrame;
use super::replay::{Found, Tail};
use super::segment::{name_segment, new_name, segment_name};
use super::sweep::Complete;
use crate::fail_points;

/// A sealed segment that holds more than one part in so many of a segment is not copied.
const COPIED_MOST: u64 = 4;

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
    /// The first segment that is needed, and what the last complete sweep wrote.
    pub(super) complete: Complete,
}

/// Removes leftovers and secures the last frames.
pub(super) fn secure(
    disk: &dyn Disk,
    found: &Found,
    claim: &Claim,
    segment_bytes: u64,
) -> Result<Secured, StoreError> {
    // Whoever claimed later may have written before this one read, and its segments are not to be
    // replaced. Whoever claims from here on finds the number that this one takes, or takes it.
    claim.check()?;
    for name in &found.leftovers {
        remove(disk, name).map_err(|cause| disk_error(format!("remove \"{name}\""), cause))?;
    }
    fail_points::pass("leftovers-removed");
    // Even with nothing removed: a start before this one may have failed to sync a new name.
    disk.sync_names().map_err(|cause| disk_error("sync the names of the log", cause))?;
    let own = found.newest + 1;
    let Some(Tail { header, last }) = &found.tail else {
        remove_replaced(disk, found)?;
        let complete = Complete { first_segment: own, live_bytes: 0 };
        return Ok(Secured { open: None, own, complete });
    };
    let complete = Complete { first_segment: header.first_segment, live_bytes: header.live_bytes };
    let error = |cause| disk_error(format!("secure \"{}\"", segment_name(header.number)), cause);
    if let Some(last) = last
        && last.head.kind == FrameKind::Seal
        && found.cut.is_none()
        && last.end > segment_bytes / COPIED_MOST
    {
        rewrite_seal(disk, header, last).map_err(error)?;
        claim.check()?;
        remove_replaced(disk, found)?;
        return Ok(Secured { open: None, own, complete });
    }
    let needed = complete.first_segment == header.number;
    let first_segment = if needed { own } else { complete.first_segment };
    let copied = SegmentHeader { number: own, first_segment, ..*header };
    let file =
        copy(disk, header.number, &copied, last.as_ref(), claim.generation).map_err(error)?;
    // A newer start may be reading what is replaced.
    claim.check()?;
    remove_replaced(disk, found)?;
    let replaced = segment_name(header.number);
    remove(disk, &replaced).map_err(error)?;
    let at = last.map_or(BLOCK, |last| block_end(last.end));
    let open = Some(Open { file, number: own, seed: header.seed, at });
    Ok(Secured { open, own, complete: Complete { first_segment, ..complete } })
}

/// Writes the seal again. Its block holds nothing that was acknowledged, and everything before it
/// is proven by it.
fn rewrite_seal(disk: &dyn Disk, header: &SegmentHeader, last: &LastFrame) -> io::Result<()> {
    let file = disk.open(&segment_name(header.number), Access::Write)?;
    let mut block = last.head.encode(header.seed, last.at).to_vec();
    block.resize(usize::try_from(block_end(FRAME_HEAD as u64)).expect("one block"), 0);
    file.write_at(last.at, &block)?;
    file.sync()?;
    fail_points::pass("seal-rewritten");
    Ok(())
}

/// Copies the good part of a segment to a new one, which begins behind the same frame and so
/// replaces it from the moment on in which it has its name.
///
/// The last good frame becomes the last of its group: the rest of the group may be torn off.
fn copy(
    disk: &dyn Disk,
    number: u64,
    header: &SegmentHeader,
    last: Option<&LastFrame>,
    generation: u64,
) -> io::Result<Box<dyn DiskFile>> {
    let size = |bytes| usize::try_from(bytes).map_err(io::Error::other);
    let end = last.map_or(BLOCK, |last| last.end);
    let mut bytes = vec![0; size(block_end(end))?];
    disk.open(&segment_name(number), Access::Read)?.read_at(0, &mut bytes[..size(end)?])?;
    bytes[..BLOCK as usize].copy_from_slice(&header.encode());
    if let Some(last) = last {
        let head = FrameHead { last_in_group: true, ..last.head };
        let at = size(last.at)?;
        bytes[at..at + FRAME_HEAD].copy_from_slice(&head.encode(header.seed, last.at));
    }
    let new = new_name(header.number, generation);
    let file = disk.open(&new, Access::Create)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    fail_points::pass("tail-copied");
    name_segment(disk, &new, header.number)?;
    fail_points::pass("tail-named");
    disk.sync_names()?;
    Ok(file)
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
