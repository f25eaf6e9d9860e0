//! Frames through a closure: the rows that come of them, by owner.

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use timely::{
    container::NoopBuilder,
    dataflow::{
        Stream,
        channels::pact::Pipeline,
        operators::{Capability, generic::operator::Operator},
    },
};
use twinflow_connectors::{
    error::chain,
    frame::{BufferPool, FrameBuilder, FrameView},
    route::{body_hash, bucket, owner, twin_hash},
    row::{AttributesWriter, Row, RowHead, RowKind},
};

use super::{
    inbound::Inbound,
    out::{Given, Made, Out},
};
use crate::{frame::Frame, model::ProcessingError, process::guard::guarded, worker::WorkerShared};

/// Makes frames of frames; one for each operator and worker.
pub(crate) struct Stage {
    shared: Rc<WorkerShared>,
    pool: Arc<BufferPool>,
    /// Whether rows may go to other twins: then those of one delivery are put in its order first,
    /// since they come by owner and may meet again (the order of a partition and twin).
    readdresses: bool,
    given: Given,
    attributes: AttributesWriter,
    /// The frame that grows for each owner, and the finished ones.
    open: Vec<Option<FrameBuilder>>,
    done: Vec<Frame>,
    counts: Counts,
}

/// Counted without atomics while frames are worked off.
#[derive(Default)]
struct Counts {
    dropped: u64,
    added: u64,
    failed: u64,
}

impl Stage {
    pub(crate) fn new(shared: &Rc<WorkerShared>, readdresses: bool) -> Self {
        let workers = shared.setup.edge.workers;
        Self {
            shared: Rc::clone(shared),
            pool: Arc::default(),
            readdresses,
            given: Given::default(),
            attributes: AttributesWriter::default(),
            open: (0..workers).map(|_| None).collect(),
            done: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Works off frames of one epoch, in the order in which they came.
    pub(crate) fn run(
        &mut self,
        frames: &[Frame],
        mut each: impl FnMut(&Inbound<'_>, &mut Out<'_>) -> Result<(), ProcessingError>,
    ) -> Vec<Frame> {
        let views: Vec<FrameView<'_>> = frames.iter().map(Frame::view).collect();
        if self.readdresses && views.len() > 1 {
            for (view, index) in in_order(&views) {
                self.row(view, index, &mut each);
            }
        } else {
            for view in &views {
                (0..view.rows()).for_each(|index| self.row(view, index, &mut each));
            }
        }
        for frame in self.open.iter_mut().filter_map(Option::take) {
            self.done.push(Frame::new(frame.finish()));
        }
        let counts = std::mem::take(&mut self.counts);
        let counters = &self.shared.setup.progress.pipeline;
        counters.dropped.fetch_add(counts.dropped, Ordering::Relaxed);
        counters.added.fetch_add(counts.added, Ordering::Relaxed);
        counters.failed.fetch_add(counts.failed, Ordering::Relaxed);
        std::mem::take(&mut self.done)
    }

    /// Keeps what `keep` likes. A frame of which all is kept goes on as it is.
    pub(crate) fn filter(
        &mut self,
        frames: Vec<Frame>,
        keep: &impl Fn(&Inbound<'_>) -> bool,
    ) -> Vec<Frame> {
        let mut kept = Vec::with_capacity(frames.len());
        for frame in frames {
            let verdicts = self.verdicts(&frame, keep);
            if verdicts.iter().all(|verdict| *verdict == Ok(true)) {
                kept.push(frame);
                continue;
            }
            let mut verdicts = verdicts.into_iter();
            kept.append(&mut self.run(&[frame], |_, out| match verdicts.next() {
                Some(Ok(true)) => out.pass(),
                Some(Ok(false)) | None => Ok(()),
                Some(Err(panic)) => Err(ProcessingError::message(panic)),
            }));
        }
        kept
    }

    /// What `keep` says of each message of a frame.
    fn verdicts(
        &self,
        frame: &Frame,
        keep: &impl Fn(&Inbound<'_>) -> bool,
    ) -> Vec<Result<bool, String>> {
        let (view, setup) = (frame.view(), &self.shared.setup);
        let rows = (0..view.rows()).map(|index| view.row(index));
        let messages = rows.filter(|row| row.kind() == RowKind::Message);
        messages
            .map(|row| {
                let slot = &setup.slots[usize::from(row.origin())];
                let message = Inbound::new(row, slot, &setup.edge.models);
                guarded(|| keep(&message))
            })
            .collect()
    }

    #[inline]
    fn row(
        &mut self,
        view: &FrameView<'_>,
        index: usize,
        each: &mut impl FnMut(&Inbound<'_>, &mut Out<'_>) -> Result<(), ProcessingError>,
    ) {
        let (row, hash) = (view.row(index), view.hash(index));
        if row.kind() != RowKind::Message {
            return self.forward(hash, row);
        }
        let shared = Rc::clone(&self.shared);
        let setup = &shared.setup;
        let message =
            Inbound::new(row, &setup.slots[usize::from(row.origin())], &setup.edge.models);
        self.given.clear();
        let given = &mut self.given;
        let result = guarded(|| each(&message, &mut Out::new(given, &setup.edge.models)));
        let reason = match result {
            Ok(Ok(())) => return self.take_given(hash, row),
            Ok(Err(error)) => chain(&*error.cause),
            Err(panic) => panic,
        };
        self.fail(row, &message, &reason);
    }

    /// The rows of what a closure gave.
    #[inline]
    fn take_given(&mut self, hash: u64, row: Row<'_>) {
        let given = std::mem::take(&mut self.given);
        match given.made.len() as u64 {
            0 => self.counts.dropped += 1,
            made => self.counts.added += made - 1,
        }
        for (number, made) in given.made.iter().enumerate() {
            self.make(hash, row, (number, made), &given);
        }
        self.given = given;
    }

    #[inline]
    fn make(&mut self, hash: u64, row: Row<'_>, (number, made): (usize, &Made), given: &Given) {
        let attributes = row.attributes();
        let payload = made.payload.as_ref().map(|(range, _)| &given.payloads[range.clone()]);
        let rewrites = number > 0 || payload.is_some();
        let id = (!attributes.is_plain() && rewrites).then(|| attributes.message_id()).flatten();
        self.attributes.clear();
        if let Some(id) = id {
            self.attributes.copy_without_id(attributes);
            match number {
                0 => self.attributes.message_id(id),
                n => self.attributes.message_id(&[id, b"#", n.to_string().as_bytes()].concat()),
            }
            if payload.is_some() && attributes.body_hash().is_none() {
                self.attributes.body_hash(body_hash(row.payload()));
            }
        }
        let format = made.payload.as_ref().and_then(|(_, format)| *format);
        let head = RowHead {
            received_at: row.received_at(),
            position: row.position(),
            origin: row.origin(),
            model: made.model.unwrap_or(row.model()),
            kind: RowKind::Message,
            format: format.unwrap_or(row.format()),
        };
        let twin = made.twin.as_ref().map(|range| &given.ids[range.clone()]);
        let hash = twin.map_or(hash, |twin| twin_hash(twin.as_bytes()));
        let to = owner(bucket(hash), self.open.len());
        let attributes = if id.is_some() { self.attributes.bytes() } else { attributes.bytes() };
        let (twin, payload) = (twin.unwrap_or(row.id()), payload.unwrap_or(row.payload()));
        let lengths = (twin.len(), attributes.len(), payload.len());
        let frame = frame_for(&mut self.open[to], &mut self.done, to, lengths, &self.pool);
        frame.push(hash, &head, twin, attributes, payload);
    }

    /// A row that is no message goes where it went.
    fn forward(&mut self, hash: u64, row: Row<'_>) {
        let of_worker = matches!(row.kind(), RowKind::Undeliverable | RowKind::Failed);
        let to = match row.kind() {
            _ if of_worker => self.shared.setup.index,
            RowKind::Sweep => self.shared.setup.index,
            _ => owner(bucket(hash), self.open.len()),
        };
        let lengths = (row.id_bytes().len(), row.attributes().bytes().len(), row.payload().len());
        let frame = frame_for(&mut self.open[to], &mut self.done, to, lengths, &self.pool);
        frame.push_row(hash, row);
    }

    /// A message that the closure failed on becomes a dead letter in the frame of its position.
    fn fail(&mut self, row: Row<'_>, message: &Inbound<'_>, reason: &str) {
        self.counts.failed += 1;
        self.attributes.clear();
        self.attributes.copy_partition(row.attributes());
        self.attributes.name("model", message.model);
        self.attributes.name("twin", message.twin);
        self.attributes.reason(reason);
        let head = RowHead {
            received_at: row.received_at(),
            position: row.position(),
            origin: row.origin(),
            model: u16::MAX,
            kind: RowKind::Failed,
            format: row.format(),
        };
        let (to, attributes) = (self.shared.setup.index, self.attributes.bytes());
        let lengths = (0, attributes.len(), row.payload().len());
        let frame = frame_for(&mut self.open[to], &mut self.done, to, lengths, &self.pool);
        frame.push(0, &head, "", attributes, row.payload());
    }
}

/// The frame for an owner that has room for a row of these lengths: id, attributes, payload.
#[inline]
fn frame_for<'f>(
    open: &'f mut Option<FrameBuilder>,
    done: &mut Vec<Frame>,
    to: usize,
    (id, attributes, payload): (usize, usize, usize),
    pool: &Arc<BufferPool>,
) -> &'f mut FrameBuilder {
    if let Some(full) = open.take_if(|frame| frame.is_full_for(id, attributes, payload)) {
        done.push(Frame::new(full.finish()));
    }
    open.get_or_insert_with(|| FrameBuilder::new(to as u32, pool))
}

/// Rows in the order of their source: of one slot and partition by position, and the frames of one
/// owner are in that order already, so that a stable sort has few runs to merge.
fn in_order<'a, 'f>(views: &'a [FrameView<'f>]) -> Vec<(&'a FrameView<'f>, usize)> {
    let mut rows: Vec<_> = views
        .iter()
        .flat_map(|view| (0..view.rows()).map(move |index| (view, index)))
        .map(|(view, index)| {
            let row = view.row(index);
            let partition = row.attributes().partition();
            ((row.origin(), partition, row.position()), (view, index))
        })
        .collect();
    rows.sort_by_key(|(key, _)| *key);
    rows.into_iter().map(|(_, place)| place).collect()
}

/// An operator that gives each epoch's frames to `run` and on what it makes of them, at the same
/// epoch. All that waits is given at once: a delivery is never seen in halves.
pub(crate) fn rows_through<'scope>(
    rows: Stream<'scope, u64, Frame>,
    name: &str,
    mut run: impl FnMut(Vec<Frame>) -> Vec<Frame> + 'static,
) -> Stream<'scope, u64, Frame> {
    rows.unary::<NoopBuilder<Frame>, _, _, _>(Pipeline, name, move |initial, _info| {
        drop(initial);
        move |input, output| {
            let mut epochs: BTreeMap<u64, (Capability<u64>, Vec<Frame>)> = BTreeMap::new();
            let index = output.output_index();
            input.for_each(|capability, frame| {
                let Some(held) = capability.retain_least(index) else { return };
                let epoch = epochs.entry(*held.time()).or_insert_with(|| (held, Vec::new()));
                epoch.1.push(std::mem::take(frame));
            });
            for (capability, frames) in epochs.into_values() {
                let mut session = output.session_with_builder(&capability);
                run(frames).iter_mut().for_each(|frame| session.give_container(frame));
            }
        }
    })
}

#[cfg(test)]
mod tests;
