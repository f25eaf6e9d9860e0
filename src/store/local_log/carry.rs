//! Takes the end of a log that was found over into a segment of this generation's own, durable
//! before it has its name.

use std::io;

use super::disk::{Access, Disk, DiskFile};
use super::format::{BLOCK, FRAME_HEAD, FrameHead, SegmentHeader, block_end, check};
use super::group::Group;
use super::history::LastFrame;
use super::segment::{name_segment, new_name, segment_name};
use super::tail::Open;
use crate::fail_points;

/// The segment that is being made.
pub(super) struct Carry<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) header: SegmentHeader,
    pub(super) generation: u64,
}

impl Carry<'_> {
    /// Copies the good part of a segment with the same seed. The new one begins behind the same
    /// frame, and so replaces it from the moment on in which it has its name.
    ///
    /// The last good frame becomes the last of its group: the rest of the group may be torn off.
    pub(super) fn copy(&self, number: u64, last: Option<&LastFrame>) -> io::Result<Open> {
        let end = last.map_or(BLOCK, |last| last.end);
        let mut bytes = read(self.disk, number, 0, end)?;
        bytes.resize(size(block_end(end))?, 0);
        bytes[..BLOCK as usize].copy_from_slice(&self.header.encode());
        if let Some(last) = last {
            let head = FrameHead { last_in_group: true, ..last.head };
            let at = size(last.at)?;
            bytes[at..at + FRAME_HEAD].copy_from_slice(&head.encode(self.header.seed, last.at));
        }
        let file = self.write(&bytes)?;
        fail_points::pass("tail-copied");
        self.name(file, block_end(end))
    }

    /// Writes the last group of the segment `of` again. The new segment begins behind the frame
    /// before that group: from the moment on in which it has its name, `of` counts up to there.
    pub(super) fn move_last_group(&self, of: &SegmentHeader, last: &LastFrame) -> io::Result<Open> {
        let start = last.group.at;
        let bytes = read(self.disk, of.number, start, last.end)?;
        let (mut group, mut at) = (Group::default(), 0);
        while at < bytes.len() {
            let here = start + at as u64;
            let head = FrameHead::decode(&bytes[at..], of.seed, here);
            let head = head.ok_or_else(changed)?;
            let body = bytes.get(at + FRAME_HEAD..).and_then(|it| it.get(..size_of(&head)));
            let body = body.filter(|body| check(of.seed, here, body) == head.body_check);
            let body = body.ok_or_else(changed)?;
            let added = group.frame(head, |bytes| {
                bytes.extend_from_slice(body);
                Ok::<_, io::Error>(head.entries)
            });
            added?;
            at += FRAME_HEAD + body.len();
        }
        let mut bytes = self.header.encode();
        bytes.extend_from_slice(group.place(self.header.seed, BLOCK));
        let file = self.write(&bytes)?;
        fail_points::pass("tail-moved");
        self.name(file, bytes.len() as u64)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<Box<dyn DiskFile>> {
        let new = new_name(self.header.number, self.generation);
        let file = self.disk.open(&new, Access::Create)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        Ok(file)
    }

    fn name(&self, file: Box<dyn DiskFile>, at: u64) -> io::Result<Open> {
        let SegmentHeader { number, seed, .. } = self.header;
        name_segment(self.disk, &new_name(number, self.generation), number)?;
        fail_points::pass("tail-named");
        self.disk.sync_names()?;
        Ok(Open { file, number, seed, at })
    }
}

/// Bytes of a segment.
fn read(disk: &dyn Disk, number: u64, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size(to - from)?];
    disk.open(&segment_name(number), Access::Read)?.read_at(from, &mut bytes)?;
    Ok(bytes)
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

fn size_of(head: &FrameHead) -> usize {
    head.body_len as usize
}

/// A frame that was good when the log was read is not any more.
fn changed() -> io::Error {
    io::Error::other("it is not what was read a moment ago; the next start reads it again")
}
