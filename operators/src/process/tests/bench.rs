//! A worker with one model and two connections: `web` waits for outcomes, `plant` does not.

use std::{
    collections::HashSet,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use twinflow_connectors::{
    frame::FrameBuilder,
    link::{Edge, LinkRow, ModelNames, OUTBOX_LIMITS, OutcomeKind, Slot, SlotPlace, Wake},
    message::{Format, Timestamp},
    route::twin_hash,
    row::{AttributesWriter, RowHead, RowKind},
};

use super::super::{
    ModelSettings,
    sweep::sweep_row,
    twins::{EpochResult, Twins, TwinsSetup},
};
use crate::{
    clock::EpochClock,
    context::ProcessingContext,
    frame::Frame,
    message::{DecodeError, Messages},
    model::{
        MessageProcessor, Outcome, ProcessingError, ProcessingResult, RawState, Rollback, TwinModel,
    },
    models::Models,
    quarantine::{Quarantine, Quarantined, put_quarantined},
    recover::{MODELS, Recovered},
    store::{Claimed, Entry, EntryKind, EpochPart, EpochStore, StoreError, SweepOrder, entries},
    worker::{Limits, WorkerSetup, WorkerShared},
};

pub(super) const WEB: u16 = 0;
pub(super) const PLANT: u16 = 1;
const MODEL: u16 = 0;
const KEEP_SECS: u64 = 60;
/// Sweeps of [`NoStore`] rewrite everything of epochs before this one.
pub(crate) const SINCE: u64 = 8;

/// What the twin was told, word by word.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Log {
    pub(super) words: Vec<String>,
}

/// A log with this word panics when it is cloned.
pub(super) const NO_CLONE: &str = "no clone";

impl Clone for Log {
    fn clone(&self) -> Self {
        assert!(!self.words.iter().any(|word| word == NO_CLONE), "told not to");
        Self { words: self.words.clone() }
    }
}

impl TwinModel for Log {
    type Message<'m> = String;
    const STATE_VERSION: u32 = 2;

    /// Version 1 was one text.
    fn migrate(_: u32, state: RawState<'_>) -> Result<Self, DecodeError> {
        let text: String = state.deserialize()?;
        Ok(Self { words: text.split(' ').map(str::to_owned).collect() })
    }
}

/// Notes each word; some of them do something else too.
pub(super) struct Note<const LAST_ENCODED: bool> {
    /// What a new twin sends at once.
    pub(super) greeting: Option<&'static str>,
}

impl<const LAST_ENCODED: bool> MessageProcessor for Note<LAST_ENCODED> {
    type Model = Log;
    const ROLLBACK: Rollback = if LAST_ENCODED { Rollback::LastEncoded } else { Rollback::Clone };

    fn initialize(
        &self,
        cx: &mut ProcessingContext<'_>,
        log: &mut Log,
    ) -> Result<(), ProcessingError> {
        log.words.push("new".to_owned());
        self.greeting.map_or(Ok(()), |greeting| cx.send_to_data_source(greeting))
    }

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        log: &mut Log,
        words: Messages<'_, String>,
    ) -> ProcessingResult {
        let mut outcome = Outcome::Update;
        for word in words {
            log.words.push(word.clone());
            match word.as_str() {
                "fail" => return Err(ProcessingError::message("told to")),
                "panic" => panic!("told to"),
                "say" => cx.send_to_data_source("said")?,
                "ignore" => outcome = Outcome::NoUpdate,
                "remove" => outcome = Outcome::Remove,
                _ => {}
            }
        }
        Ok(outcome)
    }
}

/// A store that takes nothing and wants the sweep of this number, if any.
#[derive(Default)]
pub(crate) struct NoStore {
    pub(crate) sweep: AtomicU64,
    /// The first epoch of the group that is open, if epochs share commits.
    group: Option<u64>,
}

impl NoStore {
    /// A store whose epochs share commits.
    pub(crate) fn sharing(group: u64) -> Self {
        Self { group: Some(group), ..Self::default() }
    }
}

impl EpochStore for NoStore {
    fn replay(&self, _: &mut dyn FnMut(Entry<'_>)) -> Result<(), StoreError> {
        Ok(())
    }
    fn claim(&self, _: usize) -> Result<Claimed, StoreError> {
        Ok(Claimed { generation: 1, base: 0 })
    }
    fn attach(&self, _: usize, _: Box<dyn Fn() + Send + Sync>) {}
    fn group(&self, _: usize, _: u64) -> Option<u64> {
        self.group
    }
    fn append(&self, _: usize, _: u64, _: EpochPart) {}
    fn closed(&self, _: usize, _: u64) {}
    fn durable(&self, _: usize) -> u64 {
        0
    }
    fn sweep(&self) -> Option<SweepOrder> {
        let number = self.sweep.load(Ordering::Relaxed);
        let order = SweepOrder { number, since: SINCE, bytes_min: 100, urgent: true };
        (number > 0).then_some(order)
    }
    fn dead_letter_payload(&self, _: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    fn seal(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A row to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct In<'a> {
    pub(super) kind: RowKind,
    pub(super) origin: u16,
    pub(super) twin: &'a str,
    pub(super) word: &'a str,
    pub(super) id: Option<&'a str>,
    pub(super) dead_letter: Option<u64>,
    pub(super) at: u64,
}

/// A message for twin `t` by the connection that does not wait.
pub(super) fn told(word: &str) -> In<'_> {
    let kind = RowKind::Message;
    In { kind, origin: PLANT, twin: "t", word, id: None, dead_letter: None, at: 0 }
}

/// A request about twin `t`.
pub(super) fn asked(kind: RowKind) -> In<'static> {
    In { kind, origin: WEB, ..told("") }
}

/// A dead letter once more, with a word of its own; it comes by the link that waits.
pub(super) fn replayed(number: u64, word: &str) -> In<'_> {
    In { kind: RowKind::Replay, origin: WEB, dead_letter: Some(number), ..told(word) }
}

/// What an epoch came to.
pub(super) struct Out {
    pub(super) result: EpochResult,
}

impl Out {
    /// Outcomes told to links.
    pub(super) fn outcomes(&self) -> Vec<&OutcomeKind> {
        let rows = self.result.link_rows.iter();
        rows.filter_map(|(_, row)| match row {
            LinkRow::Outcome { kind, .. } => Some(kind),
            _ => None,
        })
        .collect()
    }

    /// Reasons of rejections told to links.
    pub(super) fn rejected(&self) -> Vec<&str> {
        let rows = self.result.link_rows.iter();
        rows.filter_map(|(_, row)| match row {
            LinkRow::Rejected { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect()
    }

    /// Feedback: slot and payload.
    pub(super) fn feedback(&self) -> Vec<(u16, &str)> {
        let rows = self.result.link_rows.iter();
        rows.filter_map(|(to, row)| match row {
            LinkRow::Feedback(entry) => Some((*to, std::str::from_utf8(&entry.payload).unwrap())),
            _ => None,
        })
        .collect()
    }

    /// How many entries of a kind were written.
    pub(super) fn entries(&self, kind: EntryKind) -> usize {
        let read = entries(self.result.part.bytes()).map(Option::unwrap);
        read.filter(|entry| entry.kind == kind).count()
    }
}

/// One worker.
pub(super) struct Bench {
    twins: Twins,
    store: Arc<NoStore>,
    shared: Rc<WorkerShared>,
    pub(super) models: Models,
    epoch: u64,
    receipt: u64,
    written: EpochPart,
    /// The part that all epochs write to, if they share one.
    shares: Option<EpochPart>,
}

impl Bench {
    /// A worker whose epochs share one part.
    pub(super) fn sharing<P: MessageProcessor>(processor: P) -> Self {
        Self::sharing_with(processor, ModelSettings::default())
    }

    /// The same, with settings.
    pub(super) fn sharing_with<P: MessageProcessor>(processor: P, with: ModelSettings) -> Self {
        let shares = Some(EpochPart::numbered(Vec::new(), 1));
        Self { shares, ..Self::with(processor, with, EpochPart::default()) }
    }

    fn apply(&mut self, frame: Frame) -> EpochResult {
        let part = self.shares.take();
        let shares = part.is_some();
        let mut result = self.twins.apply(self.epoch, &[frame], part.unwrap_or_default());
        if shares {
            self.shares = Some(std::mem::take(&mut result.part));
        } else {
            self.written.extend(&result.part);
        }
        result
    }

    pub(super) fn new<P: MessageProcessor>(processor: P) -> Self {
        Self::with(processor, ModelSettings::default(), EpochPart::default())
    }

    /// A worker that starts from what `written` says.
    pub(super) fn with<P: MessageProcessor>(
        processor: P,
        settings: ModelSettings,
        written: EpochPart,
    ) -> Self {
        let recovered = Recovered::of_part(&written);
        let models = Models::new().with_settings("log", processor, settings);
        let names = ModelNames::new([("log".to_owned(), MODEL)]);
        let edge = Edge::new(1, names, Arc::new(|| Timestamp(0)));
        let slots = [("web", true), ("plant", false)].into_iter().enumerate();
        let slots = slots.map(|(id, (name, answers))| slot(id as u16, name, answers, &edge));
        let slots: Vec<_> = slots.collect();
        let store = Arc::new(NoStore::default());
        let shared = shared_of(&edge, &slots, &models, &store, &recovered);
        let known = &shared.setup.dead_letters;
        recovered.dead_letters().for_each(|letter| known.add(letter.clone()));
        let workers = models.workers(|_| Some(MODEL), true);
        let here = Rc::clone(&shared);
        let setup = TwinsSetup { models: workers, slots, shared: here, encode: true };
        let twins = Twins::new(setup, &recovered);
        assert_eq!((recovered.failure(), recovered.damage()), (None, None));
        Self { twins, store, shared, models, epoch: 0, receipt: 0, written, shares: None }
    }

    /// A worker that starts from what `written` says, and with twin `t` in quarantine.
    pub(super) fn set_aside<P: MessageProcessor>(processor: P, mut written: EpochPart) -> Self {
        let quarantined = Quarantined {
            model: "log".into(),
            twin: "t".into(),
            reason: "signal 6".into(),
            connection: "plant".into(),
            position: None,
            at: Timestamp(0),
        };
        put_quarantined(&mut written, MODEL, &quarantined);
        Self::with(processor, ModelSettings::default(), written)
    }

    /// One epoch with these rows, each a delivery of its own.
    pub(super) fn epoch(&mut self, rows: &[In<'_>]) -> Out {
        self.epoch += 1;
        let mut frame = FrameBuilder::new(0, &Arc::default());
        for row in rows {
            self.receipt += 1;
            let mut attributes = AttributesWriter::default();
            if let Some(id) = row.id {
                attributes.message_id(id.as_bytes());
            }
            if let Some(number) = row.dead_letter {
                attributes.dead_letter(number, "plant");
            }
            let head = RowHead {
                received_at: Timestamp(0).plus_secs(row.at),
                position: self.receipt << 16,
                origin: row.origin,
                model: if row.kind == RowKind::Drop { u16::MAX } else { MODEL },
                kind: row.kind,
                format: Format::Json,
            };
            let payload = format!("\"{}\"", row.word);
            let hash = twin_hash(row.twin.as_bytes());
            frame.push(hash, &head, row.twin, attributes.bytes(), payload.as_bytes());
        }
        let result = self.apply(Frame::new(frame.finish()));
        Out { result }
    }

    /// Begins the next sweep; what was written before is committed, and forgotten.
    pub(super) fn begin_sweep(&mut self) {
        self.shared.setup.dead_letters.commit(self.epoch);
        self.write_owed().unwrap();
        self.store.sweep.fetch_add(1, Ordering::Relaxed);
        self.written = EpochPart::default();
        self.shares =
            self.shares.as_ref().map(|part| EpochPart::numbered(Vec::new(), part.number() + 1));
    }

    /// Writes what is owed to the part that all epochs share, as the end of a group does.
    pub(super) fn write_owed(&mut self) -> Result<(), String> {
        self.shares.as_mut().map_or(Ok(()), |part| self.twins.write_owed(part))
    }

    /// Ends the group of epochs that share a part.
    pub(super) fn end_group(&mut self) {
        self.write_owed().unwrap();
        if let Some(part) = &mut self.shares {
            self.written.extend(part);
            *part = EpochPart::numbered(Vec::new(), part.number() + 1);
        }
    }

    /// Whether the sweep is done.
    pub(super) fn swept(&self) -> bool {
        self.shared.twins_swept.get() == self.store.sweep.load(Ordering::Relaxed)
    }

    /// An epoch that brings nothing but the sweep.
    pub(super) fn sweep(&mut self) {
        self.epoch += 1;
        self.apply(sweep_row(0));
    }

    /// Entries of the part that all epochs share.
    pub(super) fn shared_part(&self) -> &EpochPart {
        self.shares.as_ref().expect("its epochs share one")
    }

    /// What twin `t` was told, as it is now; `None` when there is no such twin.
    pub(super) fn words(&self) -> Option<String> {
        let json = self.twins.peek(MODEL, twin_hash(b"t"), "t")?;
        let log: Log = serde_json::from_slice(&json).unwrap();
        Some(log.words.join(" "))
    }

    /// Everything written so far.
    pub(super) fn written(self) -> EpochPart {
        self.written
    }

    /// Everything written so far, folded.
    pub(super) fn recovered(&mut self) -> Recovered {
        self.write_owed().unwrap();
        let mut all = self.written.clone();
        self.shares.iter().for_each(|part| all.extend(part));
        Recovered::of_part(&all)
    }
}

/// Model numbers that recovery knows: none.
pub(super) fn nothing_known() -> HashSet<(u16, u16)> {
    HashSet::new()
}

/// What the operators of the only worker share.
pub(crate) fn shared_of(
    edge: &Arc<Edge>,
    slots: &[Arc<Slot>],
    models: &Models,
    store: &Arc<NoStore>,
    recovered: &Recovered,
) -> Rc<WorkerShared> {
    let twins = recovered.quarantined().map(|(model, one)| (model, one.clone()));
    let quarantine = Arc::new(Quarantine::new(twins, None));
    let mut recovered = Recovered::default();
    recovered.name(MODELS, MODEL, "log");
    Rc::new(WorkerShared::new(WorkerSetup {
        index: 0,
        threads: 1,
        generation: 1,
        first_epoch: 1,
        edge: Arc::clone(edge),
        slots: slots.to_vec(),
        wake: Arc::default(),
        clock: Arc::new(EpochClock::new(1)),
        time: Arc::new(|| Timestamp(0)),
        store: Arc::clone(store) as Arc<dyn EpochStore>,
        models: models.clone(),
        recovered: Arc::new(recovered),
        first_part: None,
        dead_letters: Arc::default(),
        quarantine,
        taps: Arc::default(),
        progress: Arc::default(),
        watchers: Vec::new(),
        control: Arc::default(),
        limits: Limits::of_worker(1),
        on_halt: Arc::new(|_| {}),
    }))
}

/// A connection of one slot, of the only worker.
pub(crate) fn slot(id: u16, name: &str, answers: bool, edge: &Arc<Edge>) -> Arc<Slot> {
    let place = SlotPlace {
        id,
        connection: name.into(),
        connection_number: id,
        number: 0,
        slots: 1,
        worker: 0,
        format: Format::Json,
        answers,
        dedupe_keep_secs: Some(KEEP_SECS),
    };
    Slot::new(place, Arc::clone(edge), Arc::<Wake>::default(), OUTBOX_LIMITS)
}
