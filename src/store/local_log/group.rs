//! The frames of one group while they are put together, before their place is known.

use super::format::{FRAME_HEAD, FrameHead, FrameKind, block_end, check};

/// Frames that are written and synced together.
#[derive(Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    frames: Vec<(usize, FrameHead)>,
}

impl Group {
    /// Adds a frame whose body `write` appends; it says how many entries that are.
    pub(super) fn frame<E>(
        &mut self,
        mut head: FrameHead,
        write: impl FnOnce(&mut Vec<u8>) -> Result<u32, E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.resize(start + FRAME_HEAD, 0);
        head.entries = write(&mut self.bytes)?;
        let body = self.bytes.len() - start - FRAME_HEAD;
        head.body_len = u32::try_from(body).expect("law S4 bounds an epoch far below 4 GiB");
        self.frames.push((start, head));
        Ok(())
    }

    /// Bytes with padding.
    pub(super) fn length(&self) -> u64 {
        block_end(self.bytes.len() as u64)
    }

    /// How many frames there are.
    pub(super) fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// The bytes as they are written at offset `at` of a segment with this seed.
    pub(super) fn place(&mut self, seed: u32, at: u64) -> &[u8] {
        let last = self.frames.len().saturating_sub(1);
        for (nth, (start, head)) in self.frames.iter_mut().enumerate() {
            let (here, body) = (at + *start as u64, *start + FRAME_HEAD);
            head.last_in_group = nth == last;
            head.body_check = check(seed, here, &self.bytes[body..body + head.body_len as usize]);
            self.bytes[*start..body].copy_from_slice(&head.encode(seed, here));
        }
        let padded = usize::try_from(self.length()).expect("it is in memory");
        self.bytes.resize(padded, 0);
        &self.bytes
    }

    /// Forgets the frames and keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }
}

/// A head of which the rest is filled in later.
pub(super) fn head(kind: FrameKind, sequence: u64, proven_until: u64) -> FrameHead {
    FrameHead {
        kind,
        last_in_group: false,
        sequence,
        proven_until,
        generation: 0,
        epoch: 0,
        entries: 0,
        body_len: 0,
        body_check: 0,
    }
}
