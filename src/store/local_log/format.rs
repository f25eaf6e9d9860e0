//! The bytes of a segment: its header, and the frames behind it (docs/internals/log-format.md).

use crc32fast::Hasher;

use super::history::History;

/// Every synced group of frames starts at a multiple of this (law D7).
pub(super) const BLOCK: u64 = 4096;

/// The version of this format. A directory of a newer one is refused.
pub(super) const VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"TWINFLOG";
const SEGMENT_HEAD: usize = 76;
const FRAME_MAGIC: &[u8; 4] = b"TWFR";

/// Bytes of a frame before its body.
pub(super) const FRAME_HEAD: usize = 56;

/// Set in the kind of the last frame of a group; what follows starts at the next block.
const LAST_IN_GROUP: u32 = 0x100;

/// The next multiple of [`BLOCK`], or `at` itself if it is one.
pub(super) fn block_end(at: u64) -> u64 {
    at.next_multiple_of(BLOCK)
}

/// What a segment says about itself, in its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The log it belongs to.
    pub(super) log_id: u64,
    /// Its number; the file is named by it.
    pub(super) number: u64,
    /// What the last frame before it said. All of that was durable when this was written.
    pub(super) before: History,
    /// The first segment of which anything is needed; older ones may be gone.
    pub(super) first_segment: u64,
    /// Bytes that the last complete sweep wrote.
    pub(super) live_bytes: u64,
    /// Start of every check in it, so that frames of another file do not pass.
    pub(super) seed: u32,
}

/// Why a segment header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It is not what was written.
    Damaged,
    /// It is whole, and of this newer version.
    Newer(u32),
}

impl SegmentHeader {
    /// The first block of the segment.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK as usize);
        block.extend_from_slice(SEGMENT_MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&self.seed.to_le_bytes());
        block.extend_from_slice(&self.log_id.to_le_bytes());
        block.extend_from_slice(&self.number.to_le_bytes());
        let History { sequence, generation, epoch } = self.before;
        for number in [sequence, generation, epoch, self.first_segment, self.live_bytes] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        let check = crc32fast::hash(&block);
        block.extend_from_slice(&check.to_le_bytes());
        debug_assert_eq!(block.len(), SEGMENT_HEAD, "the layout has 76 bytes");
        block.resize(BLOCK as usize, 0);
        block
    }

    /// Reads it back.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let head = bytes.first_chunk::<SEGMENT_HEAD>().ok_or(HeaderFault::Damaged)?;
        let check = crc32fast::hash(&head[..SEGMENT_HEAD - 4]);
        if !head.starts_with(SEGMENT_MAGIC) || word(head, SEGMENT_HEAD - 4) != check {
            return Err(HeaderFault::Damaged);
        }
        if word(head, 8) != VERSION {
            return Err(HeaderFault::Newer(word(head, 8)));
        }
        Ok(Self {
            seed: word(head, 12),
            log_id: long(head, 16),
            number: long(head, 24),
            before: History {
                sequence: long(head, 32),
                generation: long(head, 40),
                epoch: long(head, 48),
            },
            first_segment: long(head, 56),
            live_bytes: long(head, 64),
        })
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The entries of an epoch. The frame is the commit.
    Epoch = 1,
    /// The first frame of a generation. Its epoch is the generation's base.
    Start = 2,
    /// Nothing; proves that everything before it is durable. Its epoch is the last durable one.
    Seal = 3,
}

/// A frame without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// What it is.
    pub(super) kind: FrameKind,
    /// Whether the next frame starts at the next block.
    pub(super) last_in_group: bool,
    /// Its number in the log, one more than that of the frame before.
    pub(super) sequence: u64,
    /// Every frame up to this sequence was durable when this one was written.
    pub(super) proven_until: u64,
    /// The generation that wrote it.
    pub(super) generation: u64,
    /// The epoch, see [`FrameKind`].
    pub(super) epoch: u64,
    /// Number of entries in the body.
    pub(super) entries: u32,
    /// Bytes of the body.
    pub(super) body_len: u32,
    /// Check of the body.
    pub(super) body_check: u32,
}

impl FrameHead {
    /// Its bytes in a segment with this seed, at this offset.
    pub(super) fn encode(&self, seed: u32, at: u64) -> [u8; FRAME_HEAD] {
        let mut head = [0; FRAME_HEAD];
        let kind = self.kind as u32 | if self.last_in_group { LAST_IN_GROUP } else { 0 };
        head[0..4].copy_from_slice(FRAME_MAGIC);
        head[4..8].copy_from_slice(&kind.to_le_bytes());
        head[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        head[16..24].copy_from_slice(&self.proven_until.to_le_bytes());
        head[24..32].copy_from_slice(&self.generation.to_le_bytes());
        head[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        head[40..44].copy_from_slice(&self.entries.to_le_bytes());
        head[44..48].copy_from_slice(&self.body_len.to_le_bytes());
        head[48..52].copy_from_slice(&self.body_check.to_le_bytes());
        let check = check(seed, at, &head[..FRAME_HEAD - 4]);
        head[52..56].copy_from_slice(&check.to_le_bytes());
        head
    }

    /// Reads it back from a segment with this seed, at this offset; `None` if it is no frame.
    pub(super) fn decode(bytes: &[u8], seed: u32, at: u64) -> Option<Self> {
        let head = bytes.first_chunk::<FRAME_HEAD>()?;
        if !head.starts_with(FRAME_MAGIC)
            || word(head, 52) != check(seed, at, &head[..FRAME_HEAD - 4])
        {
            return None;
        }
        let kind = match word(head, 4) & !LAST_IN_GROUP {
            1 => FrameKind::Epoch,
            2 => FrameKind::Start,
            3 => FrameKind::Seal,
            _ => return None,
        };
        Some(Self {
            kind,
            last_in_group: word(head, 4) & LAST_IN_GROUP != 0,
            sequence: long(head, 8),
            proven_until: long(head, 16),
            generation: long(head, 24),
            epoch: long(head, 32),
            entries: word(head, 40),
            body_len: word(head, 44),
            body_check: word(head, 48),
        })
    }
}

/// A whole frame of a segment, or `None` if there is none at this offset.
pub(super) fn read_frame(segment: &[u8], seed: u32, at: u64) -> Option<(FrameHead, &[u8])> {
    let bytes = segment.get(usize::try_from(at).ok()?..)?;
    let head = FrameHead::decode(bytes, seed, at)?;
    let body = bytes.get(FRAME_HEAD..FRAME_HEAD.checked_add(head.body_len as usize)?)?;
    (check(seed, at, body) == head.body_check).then_some((head, body))
}

/// Check of a piece of a frame: bound to its segment by the seed, and to its place by the offset.
pub(super) fn check(seed: u32, at: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(&at.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("offsets are inside the head"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("offsets are inside the head"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        log_id: 0x0102,
        number: 7,
        before: History { sequence: 99, generation: 5, epoch: 77 },
        first_segment: 4,
        live_bytes: 1 << 33,
        seed: 0xDEAD_BEEF,
    };

    #[test]
    fn a_segment_header_is_read_back_and_every_flip_of_it_is_seen() {
        let block = HEADER.encode();
        assert_eq!((block.len() as u64, SegmentHeader::decode(&block)), (BLOCK, Ok(HEADER)));
        for bit in 0..SEGMENT_HEAD * 8 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), Err(HeaderFault::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_segment_is_told_from_a_damaged_one() {
        let mut block = HEADER.encode();
        block[8..12].copy_from_slice(&2u32.to_le_bytes());
        let check = crc32fast::hash(&block[..72]);
        block[72..76].copy_from_slice(&check.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(HeaderFault::Newer(2)));
    }

    #[test]
    fn a_frame_passes_only_where_it_was_written() {
        let body = b"body";
        let head = FrameHead {
            kind: FrameKind::Epoch,
            last_in_group: true,
            sequence: 3,
            proven_until: 2,
            generation: 1,
            epoch: 9,
            entries: 0,
            body_len: 4,
            body_check: check(5, BLOCK, body),
        };
        let mut segment = HEADER.encode();
        segment.extend_from_slice(&head.encode(5, BLOCK));
        segment.extend_from_slice(body);
        assert_eq!(read_frame(&segment, 5, BLOCK), Some((head, &body[..])));
        assert_eq!(read_frame(&segment, 6, BLOCK), None, "another segment's seed");
        assert_eq!(FrameHead::decode(&segment[BLOCK as usize..], 5, 2 * BLOCK), None);
        for bit in 0..(FRAME_HEAD + body.len()) * 8 {
            let mut flipped = segment.clone();
            flipped[BLOCK as usize + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_frame(&flipped, 5, BLOCK), None, "bit {bit}");
        }
        for cut in BLOCK as usize..segment.len() {
            assert_eq!(read_frame(&segment[..cut], 5, BLOCK), None, "cut at {cut}");
        }
    }
}
