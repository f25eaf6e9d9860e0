//! Frames of rows as a timely container: a newtype over their bytes, nothing else.

use std::io::Write;

use timely::{
    Accountable,
    bytes::arc::{Bytes, BytesMut},
    communication::Push,
    dataflow::channels::{ContainerBytes, Message, pushers::exchange::Distributor},
    progress::Stamp,
};
use twinflow_connectors::frame::{ENTRY, FrameView, RowFrame};

/// Rows for one owner. Cloning is two counter increments; inside a process a frame is moved, to
/// another process its bytes are copied once.
#[derive(Clone, Default)]
pub struct Frame {
    rows: u32,
    owner: u32,
    parts: Option<Parts>,
}

#[derive(Clone)]
struct Parts {
    directory: Bytes,
    body: Bytes,
}

impl Frame {
    /// A frame as the edge built it.
    pub fn new(frame: RowFrame) -> Self {
        let RowFrame { owner, rows, directory, body } = frame;
        let directory = BytesMut::from(directory).freeze();
        let parts = Some(Parts { directory, body: BytesMut::from(body).freeze() });
        Self { rows, owner, parts }
    }

    /// The worker that owns the rows.
    pub fn owner(&self) -> usize {
        self.owner as usize
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Bytes of directory and rows.
    pub fn bytes(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.directory.len() + parts.body.len())
    }

    /// The rows.
    #[inline]
    pub fn view(&self) -> FrameView<'_> {
        match &self.parts {
            Some(parts) => FrameView::new(&parts.directory, &parts.body),
            None => FrameView::new(&[], &[]),
        }
    }
}

impl Accountable for Frame {
    fn record_count(&self) -> i64 {
        i64::from(self.rows)
    }
}

impl ContainerBytes for Frame {
    fn from_bytes(mut bytes: Bytes) -> Self {
        let head = bytes.extract_to(8);
        let word = |at: usize| {
            u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes of a frame head"))
        };
        let (rows, owner) = (word(0), word(4));
        let directory = bytes.extract_to(rows as usize * ENTRY);
        let frame = Self { rows, owner, parts: Some(Parts { directory, body: bytes }) };
        // Only processes of one generation speak here; a damaged frame is a broken invariant.
        assert!(frame.view().is_sound(), "frame of {rows} rows for worker {owner} is damaged");
        frame
    }

    fn length_in_bytes(&self) -> usize {
        8 + self.bytes()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let mut put = |part: &[u8]| writer.write_all(part).expect("a slab takes all bytes");
        put(&self.rows.to_le_bytes());
        put(&self.owner.to_le_bytes());
        if let Some(parts) = &self.parts {
            put(&parts.directory);
            put(&parts.body);
        }
    }
}

/// Rows are gathered per owner before they reach the exchange: only pointers move.
pub(crate) struct ByOwner;

impl Distributor<Frame> for ByOwner {
    fn partition<T: Clone, P: Push<Message<T, Frame>>>(
        &mut self,
        frame: &mut Frame,
        stamp: &Stamp<T>,
        to: &mut [P],
    ) {
        let owner = frame.owner as usize;
        Message::push_at(frame, stamp.clone(), &mut to[owner]);
    }

    fn flush<T: Clone, P: Push<Message<T, Frame>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}
