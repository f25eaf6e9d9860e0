//! The twins of one model on one worker, and what an epoch does to them.
//!
//! Two passes over the rows of an epoch: `gather` finds each row's twin and threads the rows of a
//! twin into a list; `run` visits the twins in the order of their first message, decodes in place
//! and calls. No map per epoch, no allocation per message.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use serde::Serialize;
use twinflow_connectors::{
    frame::FrameView,
    link::{Refused, Slot},
    message::Timestamp,
    prefetch::{prefetch, prefetch_bytes},
    route::{bucket, twin_hash},
    row::{Row, RowKind},
};

use super::{
    call::{CallSite, Calls},
    encoding,
    failing::Failing,
    guard::guarded,
    ids::{Handled, MessageIds, put_id, twin_of_key},
    load::StoredTwin,
    places::Places,
    routes::Routes,
    scope::EpochScope,
    settings::ModelSettings,
    statistics::ModelStatistics,
    sweep::Within,
    table::{NO_ROW, TwinTable},
    tapped::Looking,
    twin_run::TwinRun,
    watch::{AnyWatcher, Moment, Watcher},
};
use crate::{
    mistakes::{self, Mistake},
    model::{MessageProcessor, TwinModel},
    quarantine::TwinNote,
    store::{EntryKind, EpochPart},
};

/// How many rows ahead `gather` asks for a row and its cell, and for its slot; how many twins ahead
/// `run` asks for a state. Distances of `dataflow.md` 4.
const CELLS_AHEAD: usize = 32;
const SLOTS_AHEAD: usize = 16;
const TWINS_AHEAD: usize = 6;

/// Cache lines of a row that `run` asks for.
const ROW_LINES: usize = 4;

/// Slots that a sweep looks at in one epoch at most, with twins or without.
const SLOTS_SWEPT_MAX: u32 = 65_536;

/// What `gather` found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gathered {
    /// Rows that are for this model.
    pub(crate) rows: usize,
    /// The latest `received_at` among those that move the time (law P6).
    pub(crate) latest: Timestamp,
}

/// One page of a walk over the twins.
#[derive(Clone, Debug, Default)]
pub struct TwinPage {
    /// Ids of twins that exist.
    pub ids: Vec<String>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<u32>,
}

/// The twins of one model on one worker, whatever their types.
pub(crate) trait ModelWorker {
    /// Finds the twins of the rows that are for this model.
    fn gather(&mut self, frames: &[FrameView<'_>]) -> Gathered;
    /// Works off what was gathered.
    fn run(&mut self, frames: &[FrameView<'_>], slots: &[Arc<Slot>], scope: &mut EpochScope<'_>);
    /// Recovery: so many twins come.
    fn expect(&mut self, twins: usize);
    /// Rewrites what lives here until `part` has `until` bytes; whether that was all.
    fn sweep(&mut self, within: &mut Within, until: usize, part: &mut EpochPart) -> bool;
    /// The number of the part that states are owed to, if any are.
    fn owes(&self) -> Option<u32>;
    /// Writes the states that are owed to `part`; or says which twin's cannot be written, and why.
    fn write_owed(&mut self, part: &mut EpochPart) -> Result<(), String>;
    /// Recovery: twins that are not here yet; else says which of them does not load, and why.
    fn load(&mut self, twins: &[StoredTwin<'_>]) -> Result<(), (usize, String)>;
    /// Recovery: a twin that is set aside.
    fn quarantine(&mut self, id: &str);
    /// Recovery: a message id that was handled.
    fn load_id(&mut self, key: &[u8], value: &[u8]) -> Result<(), String>;
    /// Tells of every change, first of the twins that are there if that is wanted.
    fn watch(&mut self, watcher: AnyWatcher, start: Option<Moment>) -> Result<(), String>;
    /// The state as JSON, as it is now.
    fn peek(&self, hash: u64, id: &str) -> Option<Vec<u8>>;
    /// Ids of twins from a slot on; looks at no more than `looked_at` slots.
    fn page(&self, start: u32, looked_at: usize, limit: usize) -> TwinPage;
}

/// A row of the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowPlace {
    frame: u32,
    /// Its number in the frame.
    row: u32,
    /// Number of the next row of its twin, [`NO_ROW`] behind the last.
    pub(super) next: u32,
}

/// A twin that the epoch has rows of.
#[derive(Clone, Copy, Debug)]
struct Touched {
    /// Its slot.
    index: u32,
    /// Number of its first row.
    first: u32,
    hash: u64,
}

/// The typed one.
pub(crate) struct TypedModel<P: MessageProcessor> {
    pub(super) name: Arc<str>,
    pub(super) number: u16,
    pub(super) processor: Arc<P>,
    pub(super) settings: ModelSettings,
    pub(super) statistics: Arc<ModelStatistics>,
    pub(super) encode: bool,
    pub(super) table: TwinTable<P::Model>,
    pub(super) routes: Routes,
    /// Last encoded forms, only of models that roll back by them.
    pub(super) saved: HashMap<u32, Box<[u8]>>,
    pub(super) ids: MessageIds,
    pub(super) places: Places,
    /// Twins that are set aside (law F4).
    pub(super) quarantined: HashSet<Box<str>>,
    /// Rows of the epoch.
    pub(super) rows: Vec<RowPlace>,
    /// Twins of the epoch in the order of their first row.
    touched: Vec<Touched>,
    pub(super) calls: Calls,
    failing: Failing,
    pub(super) watchers: Vec<Watcher<P::Model>>,
}

impl<P: MessageProcessor> TypedModel<P> {
    pub(crate) fn new(
        name: Arc<str>,
        number: u16,
        processor: Arc<P>,
        settings: ModelSettings,
        statistics: Arc<ModelStatistics>,
        encode: bool,
    ) -> Self {
        Self {
            name,
            number,
            processor,
            settings,
            statistics,
            encode,
            table: TwinTable::default(),
            routes: Routes::default(),
            saved: HashMap::new(),
            ids: MessageIds::default(),
            places: Places::default(),
            quarantined: HashSet::new(),
            rows: Vec::new(),
            touched: Vec::new(),
            calls: Calls::default(),
            failing: Failing::default(),
            watchers: Vec::new(),
        }
    }

    /// The model fails on most of what it gets: nothing more is taken until a person looks (P5).
    fn refuse(&self, scope: &EpochScope<'_>, connection: &str) {
        let reason = "more than half of 1,000 consecutive messages failed".to_owned();
        tracing::error!(model = &*self.name, connection, reason, "its messages are refused");
        let refused = Refused { reason, connection: connection.to_owned() };
        scope.shared.setup.edge.refusals.refuse(&self.name, refused);
    }

    /// A row of the epoch by its number.
    #[inline]
    pub(super) fn row<'e>(&self, frames: &[FrameView<'e>], number: u32) -> Row<'e> {
        let RowPlace { frame, row, .. } = self.rows[number as usize];
        frames[frame as usize].row(row as usize)
    }

    /// Asks for a row and for the cell where the look-up of its twin begins.
    #[inline]
    fn ask_for_cell(&self, view: &FrameView<'_>, index: usize) {
        if index < view.rows() {
            self.table.prefetch_cell(view.hash(index));
            if let Some(head) = view.row(index).bytes().first_chunk::<48>() {
                prefetch(head);
            }
        }
    }

    /// Asks for the directory's entry of a row. An epoch's rows do not all stay in the nearest
    /// caches between `gather` and `run`.
    #[inline]
    fn ask_for_entry(&self, frames: &[FrameView<'_>], number: u32) {
        let RowPlace { frame, row, .. } = self.rows[number as usize];
        prefetch(frames[frame as usize].entry(row as usize));
    }

    /// Asks for a row, as far as most are long; its entry was asked for before.
    #[inline]
    fn ask_for_row(&self, frames: &[FrameView<'_>], number: u32) {
        prefetch_bytes(self.row(frames, number).bytes(), ROW_LINES);
    }

    /// Asks for the slot of a row's twin, as far as a look-up reads it; says which one that is most
    /// likely.
    #[inline]
    fn ask_for_slot(&self, view: &FrameView<'_>, index: usize) -> Option<u32> {
        if index < view.rows() { self.table.prefetch_slot(view.hash(index)) } else { None }
    }

    /// Writes a twin again: its state as it is, in the newest version, and its route. What an
    /// earlier epoch wrote to the same part stands there, and later ones write over it.
    fn rewrite(&mut self, index: u32, part: &mut EpochPart) -> Result<(), String> {
        if self.table.slot(index).state.is_none() {
            return Ok(());
        }
        if !self.places.is_in(index, part) {
            self.write_state(index, part)?;
        }
        let slot = self.table.slot(index);
        if let Some(route) = self.routes.get(slot.route) {
            let (key, bucket) = (slot.id.as_bytes(), bucket(twin_hash(slot.id.as_bytes())));
            part.put(EntryKind::Route, bucket, self.number, key, &route.encode());
        }
        Ok(())
    }

    /// Writes the state of a twin as it is, instead of what the part says of it.
    fn write_state(&mut self, index: u32, part: &mut EpochPart) -> Result<(), String> {
        let slot = self.table.slot(index);
        let Some(state) = &slot.state else { return Ok(()) };
        let (key, bucket) = (slot.id.as_bytes(), bucket(twin_hash(slot.id.as_bytes())));
        let before = self.places.get(index, part);
        let at = part.bytes().len();
        part.put_with(EntryKind::State, bucket, self.number, key, |to| {
            to.extend_from_slice(&P::Model::STATE_VERSION.to_le_bytes());
            // The user's code, outside of any call.
            let written = guarded(|| encoding::write(to, state))?;
            written.map_err(|error| error.to_string())
        })?;
        if let Some(before) = before {
            part.void(before);
        }
        self.places.set(index, part, at);
        Ok(())
    }

    /// Writes the twins again from where the sweep is; whether that was all of them.
    fn sweep_twins(&mut self, within: &mut Within, until: usize, part: &mut EpochPart) -> bool {
        let end = *within.slots_end.get_or_insert(self.table.slots() as u32);
        let last = end.min(within.slot.saturating_add(SLOTS_SWEPT_MAX));
        while within.slot < last && part.bytes().len() < until {
            if let Err(why) = self.rewrite(within.slot, part) {
                // Without it the sweep would lose the twin; it waits until it can be written.
                if !std::mem::replace(&mut within.complained, true) {
                    let twin = self.table.slot(within.slot).id.as_str();
                    let model = &*self.name;
                    tracing::error!(model, twin, why, "a state cannot be written again");
                }
                return false;
            }
            within.slot += 1;
        }
        within.slot >= end
    }

    /// What a process that dies now leaves behind.
    fn note(&self, frames: &[FrameView<'_>], slots: &[Arc<Slot>], index: u32) -> TwinNote {
        let slot = self.table.slot(index);
        let row = self.row(frames, slot.first);
        let from = &slots[usize::from(row.origin())];
        let partition = row.attributes().partition().and_then(|number| from.partition(number));
        TwinNote {
            model: self.name.to_string(),
            twin: slot.id.to_string(),
            connection: from.place.connection.to_string(),
            position: partition.map(|(topic, partition)| (topic, partition, row.position())),
        }
    }

    #[inline]
    fn gather_row(&mut self, hash: u64, row: Row<'_>, at: RowPlace, likely: Option<u32>) {
        let number = self.rows.len() as u32;
        self.rows.push(at);
        let index = match likely.filter(|slot| self.table.slot(*slot).is(row.id_bytes())) {
            Some(index) => index,
            None => self.table.find_or_insert(hash, row.id()),
        };
        let slot = self.table.slot_mut(index);
        if slot.first == NO_ROW {
            slot.first = number;
            self.touched.push(Touched { index, first: number, hash });
        } else {
            self.rows[slot.last as usize].next = number;
        }
        slot.last = number;
    }
}

impl<P: MessageProcessor> ModelWorker for TypedModel<P> {
    fn gather(&mut self, frames: &[FrameView<'_>]) -> Gathered {
        self.rows.clear();
        self.touched.clear();
        let mut latest = Timestamp(0);
        for (frame, view) in frames.iter().enumerate() {
            // A frame begins with nothing asked for.
            let rows = view.rows();
            (0..CELLS_AHEAD.min(rows)).for_each(|index| self.ask_for_cell(view, index));
            // The slots that were asked for; no row's goes before its twin is looked up.
            let mut likely: [_; SLOTS_AHEAD] =
                std::array::from_fn(|index| self.ask_for_slot(view, index));
            for index in 0..rows {
                self.ask_for_cell(view, index + CELLS_AHEAD);
                let ahead = self.ask_for_slot(view, index + SLOTS_AHEAD);
                let likely = std::mem::replace(&mut likely[index % SLOTS_AHEAD], ahead);
                let row = view.row(index);
                if row.model() != self.number || row.is(RowKind::Undeliverable) {
                    continue;
                }
                if !row.is(RowKind::Read) {
                    latest = latest.max(row.received_at());
                }
                let at = RowPlace { frame: frame as u32, row: index as u32, next: NO_ROW };
                self.gather_row(view.hash(index), row, at, likely);
            }
        }
        Gathered { rows: self.rows.len(), latest }
    }

    fn run(&mut self, frames: &[FrameView<'_>], slots: &[Arc<Slot>], scope: &mut EpochScope<'_>) {
        if self.rows.is_empty() {
            return;
        }
        // Before the messages: an id whose time is over is new again.
        self.ids.expire(scope.now);
        let touched = std::mem::take(&mut self.touched);
        let mut calls = std::mem::take(&mut self.calls);
        let (processor, name) = (Arc::clone(&self.processor), Arc::clone(&self.name));
        let site = CallSite {
            processor: &*processor,
            model: &name,
            now: scope.now,
            grouping: self.settings.grouping.unwrap_or(P::GROUPING),
            retries_max: self.settings.retries_max,
            state_bytes_max: usize::try_from(self.settings.state_bytes_max).unwrap_or(usize::MAX),
            encode: self.encode,
            owe: scope.part.number() > 0,
        };
        let setup = &scope.shared.setup;
        let looking = Looking::new(setup.taps.of(self.number));
        let mut run = TwinRun::new(frames, slots, site, looking);
        let notes = setup.quarantine.notes().filter(|_| setup.edge.is_careful());
        let (activity, notes) = (&setup.control.activity, notes.cloned());
        for (at, &Touched { index, hash, .. }) in touched.iter().enumerate() {
            if let Some(ahead) = touched.get(at + TWINS_AHEAD) {
                self.table.prefetch_state(ahead.index);
                self.places.prefetch_entry(ahead.index, scope.part);
                self.ask_for_row(frames, ahead.first);
            }
            if let Some(ahead) = touched.get(at + 2 * TWINS_AHEAD) {
                self.places.prefetch(ahead.index);
                self.ask_for_entry(frames, ahead.first);
            }
            let noted = notes.as_ref().map(|notes| {
                // Other workers are waited for here.
                activity.leave();
                notes.note(&self.note(frames, slots, index))
            });
            activity.enter(self.number, &self.table.slot(index).id);
            run.twin(self, scope, (index, hash), &mut calls);
            drop(noted);
        }
        activity.leave();
        self.calls = calls;
        let (counts, last_failed) = run.finish();
        self.touched = touched;
        if self.failing.count(counts.messages + counts.failed, counts.failed)
            && let Some(slot) = last_failed.and_then(|slot| slots.get(usize::from(slot)))
        {
            self.refuse(scope, &slot.place.connection);
        }
        counts.add_to(&self.statistics);
        self.statistics.message_ids.store(self.ids.len() as u64, Ordering::Relaxed);
    }

    fn expect(&mut self, twins: usize) {
        self.table.expect(twins);
    }

    fn sweep(&mut self, within: &mut Within, until: usize, part: &mut EpochPart) -> bool {
        if !self.sweep_twins(within, until, part) {
            return false;
        }
        if mistakes::has(Mistake::IdsNotSwept) {
            return true;
        }
        let number = self.number;
        self.ids.sweep(&mut within.ids, |key, handled| {
            put_id(part, number, key, handled);
            part.bytes().len() < until
        })
    }

    fn owes(&self) -> Option<u32> {
        self.places.owes()
    }

    fn write_owed(&mut self, part: &mut EpochPart) -> Result<(), String> {
        let owing = self.places.take_owing();
        for (at, index) in owing.iter().enumerate() {
            if let Some(ahead) = owing.get(at + TWINS_AHEAD) {
                self.table.prefetch_state(*ahead);
            }
            // It may be gone, or written meanwhile because nobody knew how long it would be.
            if self.places.is_owed(*index, part) {
                self.write_state(*index, part).map_err(|why| {
                    let (model, twin) = (&self.name, &self.table.slot(*index).id);
                    format!(
                        "the state of twin \"{twin}\" of model \"{model}\" could be written \
                             when it was made and cannot any more: {why}"
                    )
                })?;
            }
        }
        self.places.give_back(owing);
        Ok(())
    }

    fn load(&mut self, twins: &[StoredTwin<'_>]) -> Result<(), (usize, String)> {
        self.load_all(twins)
    }

    fn quarantine(&mut self, id: &str) {
        self.quarantined.insert(id.into());
    }

    fn load_id(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let handled: Handled = rmp_serde::from_slice(value).map_err(|error| error.to_string())?;
        twin_of_key(key).ok_or("the key of a message id is damaged")?;
        self.ids.put(key.to_vec(), handled);
        Ok(())
    }

    fn watch(&mut self, watcher: AnyWatcher, start: Option<Moment>) -> Result<(), String> {
        self.add_watcher(watcher, start)
    }

    fn peek(&self, hash: u64, id: &str) -> Option<Vec<u8>> {
        let slot = self.table.slot(self.table.find(hash, id)?);
        Some(state_json(slot.state.as_ref()?))
    }

    fn page(&self, start: u32, looked_at: usize, limit: usize) -> TwinPage {
        let mut page = TwinPage::default();
        let mut next = start;
        for (index, slot) in self.table.walk(start, looked_at) {
            if page.ids.len() == limit {
                break;
            }
            next = index + 1;
            if slot.state.is_some() {
                page.ids.push(slot.id.to_string());
            }
        }
        page.next = ((next as usize) < self.table.slots()).then_some(next);
        page
    }
}

/// The state as JSON; what JSON cannot say (a map with other keys than text) is said so. It is the
/// user's code that is run here, outside of any call: a panic of it is an answer too.
pub(super) fn state_json<S: Serialize>(state: &S) -> Vec<u8> {
    let json = guarded(|| serde_json::to_vec(state).map_err(|error| error.to_string()));
    json.and_then(|json| json).unwrap_or_else(|why| {
        serde_json::to_vec(&serde_json::json!({ "not_json": why })).expect("a text is JSON")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Panics;

    impl Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("not today")
        }
    }

    #[test]
    fn law_f1_a_read_survives_a_state_that_has_no_json_form() {
        assert_eq!(state_json(&Panics), br#"{"not_json":"panic: not today"}"#);
        let keys = HashMap::from([([1u8], 1u8)]);
        assert!(state_json(&keys).starts_with(br#"{"not_json":"#));
    }
}
