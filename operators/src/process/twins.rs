//! All twins of one worker: works off an epoch's frames, answers what is asked between epochs.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use twinflow_connectors::{
    frame::FrameView,
    link::{OutcomeKind, Slot},
    message::Timestamp,
    row::{Row, RowKind},
};

use super::{
    model_worker::{ModelWorker, TwinPage},
    scope::{EpochScope, Rejection, SlotRow},
    sweep::TwinSweep,
    watch::{AnyWatcher, Moment},
};
use crate::{
    dead_letter::DeadLetterKind,
    frame::Frame,
    recover::Recovered,
    store::{EntryKind, EpochPart},
    worker::WorkerShared,
};

/// What one epoch brought on one worker.
#[derive(Debug, Default)]
pub(crate) struct EpochResult {
    /// What is made durable.
    pub(crate) part: EpochPart,
    /// What goes to links once it is.
    pub(crate) link_rows: Vec<SlotRow>,
    /// Why the engine must end, if a model's policy is `halt` and it failed (law P5).
    pub(crate) halted: Option<String>,
}

/// All twins of one worker.
pub(crate) struct Twins {
    pub(super) models: Vec<(u16, Box<dyn ModelWorker>)>,
    by_number: HashMap<u16, usize>,
    slots: Vec<Arc<Slot>>,
    pub(super) shared: Rc<WorkerShared>,
    encode: bool,
    now: Timestamp,
    pub(super) sweep: TwinSweep,
    watched: bool,
}

/// What a worker's twins are made of.
pub(crate) struct TwinsSetup {
    pub(crate) models: Vec<(u16, Box<dyn ModelWorker>)>,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) shared: Rc<WorkerShared>,
    pub(crate) encode: bool,
}

impl Twins {
    /// The twins of a worker, with everything that was recovered for it. A state that does not
    /// load is told to `recovered`, which stops the start (law D9).
    pub(crate) fn new(setup: TwinsSetup, recovered: &Recovered) -> Self {
        let TwinsSetup { models, slots, shared, encode } = setup;
        let by_number = models.iter().enumerate().map(|(at, (number, _))| (*number, at)).collect();
        let (worker, workers) = (shared.setup.index, shared.setup.edge.workers);
        let (now, sweep) = (recovered.now(), TwinSweep::default());
        let mut twins =
            Self { by_number, models, slots, shared, encode, now, sweep, watched: false };
        let Self { by_number, models, .. } = &mut twins;
        let loaded = recovered.load(worker, workers, |number, load| {
            by_number.get(&number).map_or(Ok(()), |at| load(&mut *models[*at].1))
        });
        if let Err(why) = loaded {
            recovered.fail(why);
        }
        twins
    }

    /// Works off one epoch; what it changes goes to `part`.
    pub(crate) fn apply(&mut self, epoch: u64, frames: &[Frame], part: EpochPart) -> EpochResult {
        let before = part.size();
        let views: Vec<FrameView<'_>> = frames.iter().map(Frame::view).collect();
        let rows: usize = views.iter().map(FrameView::rows).sum();
        let mut found = 0;
        let mut latest = self.now;
        for (_, model) in &mut self.models {
            let gathered = model.gather(&views);
            found += gathered.rows;
            latest = latest.max(gathered.latest);
        }
        let others = if found < rows { self.others(&views) } else { Vec::new() };
        latest = others.iter().map(|row| row.received_at()).fold(latest, Timestamp::max);
        let moved = latest > self.now;
        self.now = latest;

        let mut result = EpochResult { part, ..EpochResult::default() };
        let slots = std::mem::take(&mut self.slots);
        let mut scope = EpochScope {
            epoch,
            generation: self.shared.setup.generation,
            now: self.now,
            slots: &slots,
            encode: self.encode,
            part: &mut result.part,
            link_rows: &mut result.link_rows,
            shared: &self.shared,
            halted: None,
        };
        for (_, model) in &mut self.models {
            model.run(&views, &slots, &mut scope);
        }
        for row in others {
            match row.kind() {
                RowKind::Drop => drop_dead_letter(&mut scope, row),
                // It only lets these twins take part in the epoch.
                RowKind::Sweep => {}
                _ => set_aside(&mut scope, row),
            }
        }
        result.halted = scope.halted;
        self.slots = slots;
        self.sweep(&mut result.part, before);
        if !result.part.is_empty() || (self.encode && moved) {
            let (key, value) =
                ((self.shared.setup.index as u16).to_le_bytes(), self.now.0.to_le_bytes());
            result.part.put_ledger(EntryKind::Time, 0, &key, &value);
        }
        result
    }

    /// The number of the part that states are owed to: twins changed, and their states are written
    /// when no epoch will write to the part any more.
    pub(crate) fn owes(&self) -> Option<u32> {
        self.models.iter().find_map(|(_, model)| model.owes())
    }

    /// Writes the states that are owed to `part`, as they are now. Each of them could be written
    /// when it was made (law P1); a state that cannot any more is an error of its model.
    pub(crate) fn write_owed(&mut self, part: &mut EpochPart) -> Result<(), String> {
        self.models.iter_mut().try_for_each(|(_, model)| model.write_owed(part))?;
        part.owes_nothing();
        Ok(())
    }

    /// Rows that no model took: undeliverable ones, and those of a model that is not here.
    fn others<'e>(&self, views: &[FrameView<'e>]) -> Vec<Row<'e>> {
        let rows = views.iter().flat_map(|view| (0..view.rows()).map(|index| view.row(index)));
        rows.filter(|row| {
            row.kind() == RowKind::Undeliverable || !self.by_number.contains_key(&row.model())
        })
        .collect()
    }

    /// Tells `watcher` of every change of a model's twins from now on, first of those that are
    /// there if that is wanted; or says why it cannot.
    pub(crate) fn watch(
        &mut self,
        model: u16,
        watcher: AnyWatcher,
        with_start: bool,
    ) -> Result<(), String> {
        let at = self.by_number.get(&model).copied();
        let at = at.ok_or("it is not among the models that are processed")?;
        let epoch = self.shared.setup.first_epoch.saturating_sub(1);
        let start = with_start.then(|| Moment::at_start(epoch, self.now));
        self.watched = true;
        self.models[at].1.watch(watcher, start)
    }

    /// Whether anybody wants to know of changes.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// The state of a twin as it is now, as JSON (law R1, uncommitted).
    pub(crate) fn peek(&self, model: u16, hash: u64, id: &str) -> Option<Vec<u8>> {
        let at = *self.by_number.get(&model)?;
        self.models[at].1.peek(hash, id)
    }

    /// A page of ids.
    pub(crate) fn page(&self, model: u16, start: u32, looked_at: usize, limit: usize) -> TwinPage {
        let at = self.by_number.get(&model);
        at.map(|at| self.models[*at].1.page(start, looked_at, limit)).unwrap_or_default()
    }
}

fn drop_dead_letter(scope: &mut EpochScope<'_>, row: Row<'_>) {
    if scope.take_dead_letter(row) {
        scope.dead_letter_gone(row);
    } else {
        scope.outcome(row, OutcomeKind::DeadLetterGone(false));
    }
}

/// An undeliverable row, or one that a pipeline could not handle, becomes a dead letter in the
/// frame of its position (law S7).
fn set_aside(scope: &mut EpochScope<'_>, row: Row<'_>) {
    let attributes = row.attributes();
    let name = |wanted: &str| attributes.names().find(|(key, _)| *key == wanted).map(|(_, v)| v);
    let rejection = Rejection {
        kind: match row.kind() {
            RowKind::Failed => DeadLetterKind::Pipeline,
            _ => DeadLetterKind::Undeliverable,
        },
        model: name("model"),
        twin: name("twin"),
        reason: attributes.reason().unwrap_or("no model of this program takes it"),
        attempts: 1,
    };
    scope.reject(row, &rejection);
}
