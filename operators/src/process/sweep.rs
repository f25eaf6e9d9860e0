//! Rewrites what a worker holds, a piece an epoch, so that the store may drop what is older (laws
//! D2, D10).
//!
//! The pieces are entries of the epochs in which they are written, after those that the epoch
//! itself wrote: a state as it is after that epoch. So they need no order of their own, and
//! nothing that an epoch writes later is ever older than they are.

use twinflow_connectors::{
    frame::FrameBuilder,
    message::{Format, Timestamp},
    route::{bucket, owner, twin_hash},
    row::{RowHead, RowKind},
};

use super::{model_worker::ModelWorker, twins::Twins};
use crate::{
    frame::Frame,
    quarantine::put_quarantined,
    store::{EntryKind, EpochPart, SweepOrder, Swept},
    worker::WorkerShared,
};

/// Up to this many new bytes an epoch, two are rewritten for each; above, one.
const DOUBLE_UP_TO: usize = 1 << 20;

/// Dead letters that are looked at at once.
const LETTERS: usize = 64;

/// How much of an epoch may be rewritten beside what it changed: in step with the growth of the
/// log, so that a sweep ends when the log has grown by half or all of what is alive.
pub(crate) fn room(changed: usize, order: &SweepOrder) -> usize {
    (changed + changed.min(DOUBLE_UP_TO)).max(order.bytes_min)
}

/// A row that lets the twins of a worker take part in an epoch that has nothing for them.
pub(crate) fn sweep_row(worker: usize) -> Frame {
    let mut frame = FrameBuilder::new(worker as u32, &std::sync::Arc::default());
    let head = RowHead {
        received_at: Timestamp(0),
        position: 0,
        origin: 0,
        model: u16::MAX,
        kind: RowKind::Sweep,
        format: Format::Bytes,
    };
    frame.push(0, &head, "", &[], &[]);
    Frame::new(frame.finish())
}

/// How far a worker's twins are rewritten.
#[derive(Debug, Default)]
pub(super) struct TwinSweep {
    number: u64,
    stage: Stage,
    within: Within,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Names,
    /// What is kept for a later configuration, from this place on.
    Kept(usize),
    /// The model at this place.
    Model(usize),
    /// Dead letters behind this number.
    DeadLetters(u64),
    Done,
}

/// How far a model is rewritten.
#[derive(Debug, Default)]
pub(crate) struct Within {
    /// The next slot of the table, and the end; twins in later slots are newer than the sweep.
    pub(super) slot: u32,
    pub(super) slots_end: Option<u32>,
    /// Message ids that are left, from the first one on.
    pub(super) ids: Option<usize>,
    /// Whether a state that cannot be written was reported.
    pub(super) complained: bool,
}

impl TwinSweep {
    /// Takes a new order, or goes on with the one that is under way.
    fn follow(&mut self, order: &SweepOrder) {
        if self.number != order.number {
            *self = Self { number: order.number, ..Self::default() };
        }
    }

    /// One piece, until `part` has `until` bytes.
    fn step(
        &mut self,
        models: &mut [(u16, Box<dyn ModelWorker>)],
        shared: &WorkerShared,
        until: usize,
        part: &mut EpochPart,
    ) {
        while part.bytes().len() < until {
            self.stage = match self.stage {
                Stage::Names => {
                    if shared.setup.index == 0 {
                        shared.setup.recovered.put_names(part);
                        dead_letters_newest(shared, part);
                    }
                    quarantined(shared, part);
                    Stage::Kept(0)
                }
                Stage::Kept(at) => kept(shared, at, part),
                Stage::Model(at) => match models.get_mut(at) {
                    Some((_, model)) => {
                        if !model.sweep(&mut self.within, until, part) {
                            return;
                        }
                        self.within = Within::default();
                        Stage::Model(at + 1)
                    }
                    None => Stage::DeadLetters(0),
                },
                Stage::DeadLetters(after) => dead_letters(shared, after, part),
                Stage::Done => return,
            };
        }
    }
}

/// What the ends of dead letters tell of their numbers goes with the segments that hold them.
fn dead_letters_newest(shared: &WorkerShared, part: &mut EpochPart) {
    let newest = shared.setup.dead_letters.newest();
    if newest > 0 {
        part.put_ledger(EntryKind::DeadLetterNewest, 0, &[], &newest.to_le_bytes());
    }
}

/// Twins of this worker that are in quarantine; there are few.
fn quarantined(shared: &WorkerShared, part: &mut EpochPart) {
    let setup = &shared.setup;
    for (model, one) in setup.quarantine.all() {
        if owner(bucket(twin_hash(one.twin.as_bytes())), setup.edge.workers) == setup.index {
            put_quarantined(part, model, &one);
        }
    }
}

/// One entry of a model or connection that the configuration lacks (law D8).
fn kept(shared: &WorkerShared, at: usize, part: &mut EpochPart) -> Stage {
    let setup = &shared.setup;
    match setup.recovered.kept_at(at, setup.index, setup.edge.workers) {
        Some(kept) => {
            kept.own.iter().for_each(|own| part.put_bytes(own, 1));
            Stage::Kept(kept.next)
        }
        None => Stage::Model(0),
    }
}

/// Dead letters of this worker's share behind a number.
fn dead_letters(shared: &WorkerShared, after: u64, part: &mut EpochPart) -> Stage {
    let setup = &shared.setup;
    let (index, workers) = (setup.index as u64, setup.edge.workers as u64);
    let letters = setup.dead_letters.behind(after, LETTERS);
    for letter in letters.iter().filter(|letter| letter.number % workers == index) {
        let value = letter.stored();
        let key = letter.number.to_le_bytes();
        part.put_ledger(EntryKind::DeadLetterKept, 0, &key, &value);
    }
    match letters.last() {
        Some(last) if letters.len() == LETTERS => Stage::DeadLetters(last.number),
        _ => Stage::Done,
    }
}

impl Twins {
    /// One piece of the sweep that the store wants, if it wants one. The epoch began when `part`
    /// had `begun` bytes, with those that were owed to it.
    pub(super) fn sweep(&mut self, part: &mut EpochPart, begun: usize) {
        let Some(order) = self.shared.setup.store.sweep() else { return };
        if self.shared.twins_swept.get() == order.number {
            return;
        }
        self.sweep.follow(&order);
        let before = part.bytes().len();
        let until = before + room(part.size() - begun, &order);
        self.sweep.step(&mut self.models, &self.shared, until, part);
        let done = matches!(self.sweep.stage, Stage::Done);
        if done {
            self.shared.twins_swept.set(order.number);
        }
        let bytes = (part.bytes().len() - before) as u64;
        let swept = Swept { number: order.number, bytes, twins_done: done, ledger_done: false };
        part.add_swept(&swept);
    }
}
