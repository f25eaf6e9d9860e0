//! Frames of rows as a timely container: a newtype over their bytes, nothing else.

use std::io::Write;

use timely::{
    Accountable,
    bytes::arc::{Bytes, BytesMut},
    communication::Push,
    container::ContainerBuilder as _,
    dataflow::channels::{ContainerBytes, Message, pact::Distributor},
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
