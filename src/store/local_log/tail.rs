//! Makes the end of a log that was found safe to write behind (law D11).
//!
//! What a file shows need not be on the disk: after a failed sync the page cache holds bytes that
//! no later sync writes, and names that are not durable. So whatever no later frame proves is
//! written again, and synced, before anything is built on it.

use twinflow_operators::store::StoreError;

use super::disk::{Access, Disk, DiskFile};
use super::error::disk_error;
use super::format::{BLOCK, FRAME_HEAD, FrameHead, FrameKind, SegmentHeader, block_end};
use super::history::LastFrame;
use super::replay::{Found, Tail};
use super::segment::{copy_name, segment_name};
use crate::fail_points;

/// The segment to go on in.
pub(super) struct Open {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) number: u64,
    pub(super) seed: u32,
    /// Where the next group begins.
    pub(super) at: u64,
}

/// Removes leftovers and secures the last frames; gives the segment to go on in, if there is one.
pub(super) fn secure(disk: &dyn Disk, found: &Found) -> Result<Option<Open>, StoreError> {
    for name in &found.leftovers {
        disk.remove(name).map_err(|cause| disk_error(format!("remove \"{name}\""), cause))?;
    }
    fail_points::pass("leftovers-removed");
    // Even with nothing removed: a start before this one may have failed to sync a new name.
    disk.sync_names().map_err(|cause| disk_error("sync the names of the log", cause))?;
    let Some(Tail { header, last }) = &found.tail else {
        give_up(disk, found)?;
        return Ok(None);
    };
    let name = segment_name(header.number);
    let secured = match last {
        _ if found.cut.is_some() => copy(disk, header, last.as_ref()),
        // Its header was synced before it got its name, and what is before it earlier still.
        None => disk.open(&name, Access::Write),
        Some(last) if last.head.kind == FrameKind::Seal => rewrite_seal(disk, header, last),
        Some(last) => copy(disk, header, Some(last)),
    };
    let file = secured.map_err(|cause| disk_error(format!("secure \"{name}\""), cause))?;
    give_up(disk, found)?;
    Ok(Some(Open {
        file,
        number: header.number,
        seed: header.seed,
        at: last.map_or(BLOCK, |last| block_end(last.end)),
    }))
}

/// Writes the seal again. Its block holds nothing that was acknowledged, and everything before it
/// is proven by it. A group behind it that was cut off is not followed, whatever is left of it: its
/// frames are of this generation, and the next frame begins another one.
fn rewrite_seal(
    disk: &dyn Disk,
    header: &SegmentHeader,
    last: &LastFrame,
) -> std::io::Result<Box<dyn DiskFile>> {
    let file = disk.open(&segment_name(header.number), Access::Write)?;
    let mut block = last.head.encode(header.seed, last.at).to_vec();
    block.resize(usize::try_from(block_end(FRAME_HEAD as u64)).expect("one block"), 0);
    file.write_at(last.at, &block)?;
    file.sync()?;
    fail_points::pass("seal-rewritten");
    Ok(file)
}

/// Copies the good part of the segment to a new file and puts that in its place.
///
/// The last good frame becomes the last of its group: the rest of the group may be torn off.
fn copy(
    disk: &dyn Disk,
    header: &SegmentHeader,
    last: Option<&LastFrame>,
) -> std::io::Result<Box<dyn DiskFile>> {
    let (name, copy) = (segment_name(header.number), copy_name(header.number));
    let size = |bytes| usize::try_from(bytes).map_err(std::io::Error::other);
    let end = last.map_or(BLOCK, |last| last.end);
    let mut bytes = vec![0; size(block_end(end))?];
    disk.open(&name, Access::Read)?.read_at(0, &mut bytes[..size(end)?])?;
    bytes[..BLOCK as usize].copy_from_slice(&header.encode());
    if let Some(last) = last {
        let head = FrameHead { last_in_group: true, ..last.head };
        let at = size(last.at)?;
        bytes[at..at + FRAME_HEAD].copy_from_slice(&head.encode(header.seed, last.at));
    }
    let file = disk.open(&copy, Access::Create)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    fail_points::pass("tail-copied");
    disk.rename(&copy, &name)?;
    fail_points::pass("tail-renamed");
    disk.sync_names()?;
    Ok(file)
}

/// Removes what is given up, oldest first: while the newest is there it says which segment is the
/// first that is needed, and the log is still seen to be damaged.
fn give_up(disk: &dyn Disk, found: &Found) -> Result<(), StoreError> {
    let Some(cut) = &found.cut else { return Ok(()) };
    for number in &cut.segments {
        let name = segment_name(*number);
        let removed = disk.remove(&name).and_then(|()| disk.sync_names());
        removed.map_err(|cause| disk_error(format!("remove \"{name}\""), cause))?;
    }
    Ok(())
}
