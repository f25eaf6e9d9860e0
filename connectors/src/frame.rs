//! A frame: rows for one owner with a directory in front, gathered at the edge.
//!
//! ```text
//! rows u32 | owner u32 | directory: rows x 16 | body
//! entry: hash u64 (xxh3-64 of the twin id) | row offset u32 | row length u32
//! ```
//!
//! The directory makes the rows' addresses independent of each other, so that the worker can look
//! ahead. Buffers come from a pool and go back to it when the last reader drops them.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use crate::{
    message::limits::FRAME_BYTES,
    prefetch::prefetch,
    row::{Row, RowHead, row_len, write_row},
};

/// Bytes of one directory entry.
pub const ENTRY: usize = 16;

/// How far ahead of a row the memory is asked for that later ones go to, and how much of it: a row
/// with a payload of 100 bytes has 152.
const AHEAD: usize = 512;
const ASKED: usize = 128;

/// Buffers kept for the next frames; more are given back to the allocator.
const POOL_BUFFERS_MAX: usize = 64;

/// Where the buffers of frames wait between two uses.
#[derive(Debug, Default)]
pub struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    /// An empty buffer, with the capacity of an earlier use if there was one.
    fn take(self: &Arc<Self>) -> Buffer {
        let bytes = self.0.lock().expect("buffer pool").pop().unwrap_or_default();
        Buffer { bytes, pool: Arc::clone(self) }
    }
}

/// Bytes that return to their pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        // One row may be larger than a frame; such a buffer is not worth keeping.
        if bytes.capacity() == 0 || bytes.capacity() > 2 * FRAME_BYTES {
            return;
        }
        bytes.clear();
        if let Ok(mut pool) = self.pool.0.lock()
            && pool.len() < POOL_BUFFERS_MAX
        {
            pool.push(bytes);
        }
    }
}

/// A finished frame on its way from the edge to the dataflow.
#[derive(Debug)]
pub struct RowFrame {
    /// The worker that owns every row.
    pub owner: u32,
    /// How many rows there are.
    pub rows: u32,
    /// `rows` entries of 16 bytes.
    pub directory: Buffer,
    /// The rows.
    pub body: Buffer,
}

impl RowFrame {
    /// Bytes of the rows.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// Gathers rows for one owner.
#[derive(Debug)]
pub struct FrameBuilder {
    owner: u32,
    rows: u32,
    directory: Buffer,
    body: Buffer,
}

impl FrameBuilder {
    /// An empty frame for `owner`.
    pub fn new(owner: u32, pool: &Arc<BufferPool>) -> Self {
        Self { owner, rows: 0, directory: pool.take(), body: pool.take() }
    }

    /// Whether a row with these parts should go into the next frame instead.
    #[inline]
    pub fn is_full_for(&self, id: usize, attributes: usize, payload: usize) -> bool {
        self.rows > 0 && self.body.bytes.len() + row_len(id, attributes, payload) > FRAME_BYTES
    }

    /// Appends a row.
    #[inline(always)]
    pub fn push(&mut self, hash: u64, head: &RowHead, id: &str, attributes: &[u8], payload: &[u8]) {
        let offset = self.body.bytes.len();
        // The buffer was read by another core last: its lines are asked for some rows ahead.
        if let Some(ahead) = self.body.bytes.spare_capacity_mut().get(AHEAD..) {
            ahead.first_chunk::<ASKED>().into_iter().for_each(prefetch);
        }
        write_row(&mut self.body.bytes, head, id, attributes, payload);
        self.enter(hash, offset);
    }

    /// Appends a row of another frame as it is.
    pub fn push_row(&mut self, hash: u64, row: Row<'_>) {
        let offset = self.body.bytes.len();
        self.body.bytes.extend_from_slice(row.bytes());
        self.enter(hash, offset);
    }

    #[inline]
    fn enter(&mut self, hash: u64, offset: usize) {
        let len = self.body.bytes.len() - offset;
        let mut entry = [0u8; ENTRY];
        entry[..8].copy_from_slice(&hash.to_le_bytes());
        entry[8..12].copy_from_slice(&(offset as u32).to_le_bytes());
        entry[12..].copy_from_slice(&(len as u32).to_le_bytes());
        self.directory.bytes.extend_from_slice(&entry);
        self.rows += 1;
    }

    /// The finished frame.
    pub fn finish(self) -> RowFrame {
        let Self { owner, rows, directory, body } = self;
        RowFrame { owner, rows, directory, body }
    }
}

/// Rows in the bytes of a frame; shared by frames made here and frames received.
#[derive(Clone, Copy)]
pub struct FrameView<'f> {
    directory: &'f [u8],
    body: &'f [u8],
}

impl<'f> FrameView<'f> {
    /// A view of a frame whose entries were checked before, or were made in this process.
    #[inline]
    pub fn new(directory: &'f [u8], body: &'f [u8]) -> Self {
        Self { directory, body }
    }

    /// Whether every entry and every row stays within the frame; done once, on arrival.
    pub fn is_sound(&self) -> bool {
        self.directory.len().is_multiple_of(ENTRY)
            && (0..self.rows()).all(|index| {
                let (start, len) = self.place(index);
                start
                    .checked_add(len)
                    .and_then(|end| self.body.get(start..end))
                    .is_some_and(Row::is_sound)
            })
    }

    /// How many rows there are.
    #[inline]
    pub fn rows(&self) -> usize {
        self.directory.len() / ENTRY
    }

    /// The entry of a row, for who looks ahead.
    #[inline]
    pub fn entry(&self, index: usize) -> &'f [u8; ENTRY] {
        self.directory[index * ENTRY..][..ENTRY].try_into().expect("sixteen bytes of a directory")
    }

    #[inline]
    fn place(&self, index: usize) -> (usize, usize) {
        let entry = self.entry(index);
        let word =
            |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"));
        (word(8) as usize, word(12) as usize)
    }

    /// The hash of a row's twin id.
    #[inline]
    pub fn hash(&self, index: usize) -> u64 {
        u64::from_le_bytes(self.entry(index)[..8].try_into().expect("eight bytes"))
    }

    /// A row.
    #[inline]
    pub fn row(&self, index: usize) -> Row<'f> {
        let (start, len) = self.place(index);
        Row::new(&self.body[start..start + len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Format, Timestamp},
        row::RowKind,
    };

    fn frame(ids: &[&str]) -> RowFrame {
        let pool = Arc::new(BufferPool::default());
        let mut builder = FrameBuilder::new(1, &pool);
        let head = RowHead {
            received_at: Timestamp(1),
            position: 2,
            origin: 0,
            model: 0,
            kind: RowKind::Message,
            format: Format::Json,
        };
        for id in ids {
            builder.push(crate::route::twin_hash(id.as_bytes()), &head, id, &[], b"{}");
        }
        builder.finish()
    }

    #[test]
    fn rows_come_back_in_order_with_their_hash() {
        let frame = frame(&["a", "twin-2", "c"]);
        let view = FrameView::new(&frame.directory, &frame.body);
        assert!(view.is_sound());
        let ids: Vec<_> = (0..view.rows()).map(|index| view.row(index).id()).collect();
        assert_eq!(ids, ["a", "twin-2", "c"]);
        assert_eq!(view.hash(1), crate::route::twin_hash(b"twin-2"));
    }

    #[test]
    fn every_flipped_bit_is_refused_or_read_within_bounds() {
        let frame = frame(&["a", "twin-2"]);
        let (directory, body) = (frame.directory.to_vec(), frame.body.to_vec());
        for bit in 0..(directory.len() + body.len()) * 8 {
            let (mut directory, mut body) = (directory.clone(), body.clone());
            match directory.get_mut(bit / 8) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => body[bit / 8 - directory.len()] ^= 1 << (bit % 8),
            }
            let view = FrameView::new(&directory, &body);
            if view.is_sound() {
                for index in 0..view.rows() {
                    let row = view.row(index);
                    let _seen = (row.id().len(), row.payload().len(), row.kind());
                }
            }
        }
    }

    #[test]
    fn a_dropped_frame_gives_its_buffers_back() {
        let pool = Arc::new(BufferPool::default());
        let mut builder = FrameBuilder::new(0, &pool);
        builder.body.bytes.extend_from_slice(b"12345678");
        drop(builder.finish());
        assert_eq!(pool.0.lock().unwrap().len(), 1);
    }
}
