//! The dataflow's side of a link, moved by hand.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use super::MODEL;
use crate::{
    Connector, ConnectorInfo,
    error::ConnectorError,
    frame::FrameView,
    link::{
        Edge, FeedbackId, LinkRow, ModelNames, OUTBOX_LIMITS, OutboxEntry, Position, Receipt, Slot,
        SlotPlace, Wake,
    },
    message::Timestamp,
    row::RowKind,
};

/// A row that was taken from the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Message or undeliverable.
    pub kind: RowKind,
    /// The twin's id.
    pub twin: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The delivery that it came with.
    pub receipt: Receipt,
}

/// One slot on one worker, without a dataflow behind it.
pub struct Dataflow {
    /// The slot; checks may drive it themselves.
    pub slot: Arc<Slot>,
    wake: Arc<Wake>,
    rang: Arc<Notify>,
    patience: Duration,
    epoch: AtomicU64,
    /// How the newest session ended, so that who waits in vain says it.
    over: Arc<Mutex<Option<String>>>,
}

impl Dataflow {
    /// A slot for a connection that says `info` of itself.
    pub fn new(info: ConnectorInfo, patience: Duration) -> Self {
        let ticks = AtomicU64::new(1_000_000);
        let clock = move || Timestamp(ticks.fetch_add(1, Ordering::Relaxed));
        let models = ModelNames::new([(MODEL.to_owned(), 0)]);
        let place = SlotPlace {
            id: 0,
            connection: "conformance".into(),
            connection_number: 0,
            number: 0,
            slots: 1,
            worker: 0,
            format: info.format,
            answers: info.answers,
            dedupe_keep_secs: info.dedupe_keep_secs,
        };
        let (wake, rang) = (Arc::new(Wake::default()), Arc::new(Notify::new()));
        let bell = Arc::clone(&rang);
        wake.attach(move || bell.notify_one());
        let edge = Edge::new(1, models, Arc::new(clock));
        let slot = Slot::new(place, edge, Arc::clone(&wake), OUTBOX_LIMITS);
        Self { slot, wake, rang, patience, epoch: AtomicU64::new(0), over: Arc::default() }
    }

    /// Opens a link and runs a session on it.
    pub fn run<C: Connector>(&self, mut connector: C) -> Session<C> {
        let link = self.slot.open();
        let over = Arc::clone(&self.over);
        *over.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let task = tokio::spawn(async move {
            let result = connector.run(link).await;
            let how = format!("its session ended with {result:?}");
            *over.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
            (connector, result)
        });
        Session { task, slot: Arc::clone(&self.slot), patience: self.patience }
    }

    /// Waits until something holds of the slot; it is asked whenever the link rings.
    ///
    /// # Panics
    ///
    /// With `rule` if it does not hold in time.
    pub async fn until(&self, rule: &str, mut holds: impl FnMut(&Slot) -> bool) {
        let waiting = async {
            loop {
                self.wake.heard();
                if holds(&self.slot) {
                    return;
                }
                self.rang.notified().await;
            }
        };
        if timeout(self.patience, waiting).await.is_err() {
            panic!("{rule}: nothing of that after {:?}; {}", self.patience, self.state());
        }
    }

    /// Takes deliveries until there are at least `count` rows.
    ///
    /// # Panics
    ///
    /// With `rule` if they do not come in time.
    pub async fn take(&self, rule: &str, count: usize) -> Vec<SeenRow> {
        let mut rows = Vec::new();
        let waiting = async {
            loop {
                self.wake.heard();
                rows.extend(self.take_now());
                if rows.len() >= count {
                    return;
                }
                self.rang.notified().await;
            }
        };
        if timeout(self.patience, waiting).await.is_err() {
            let (came, state) = (rows.len(), self.state());
            panic!("{rule}: {came} of {count} rows came in {:?}; {state}", self.patience);
        }
        rows
    }

    fn state(&self) -> String {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        over.unwrap_or_else(|| "its session still runs".into())
    }

    /// Takes what is there now.
    pub fn take_now(&self) -> Vec<SeenRow> {
        let mut rows = Vec::new();
        while let Some(taken) = self.slot.take() {
            for frame in &taken.frames {
                let view = FrameView::new(&frame.directory, &frame.body);
                rows.extend((0..view.rows()).map(|index| view.row(index)).map(|row| SeenRow {
                    kind: row.kind(),
                    twin: row.id().to_owned(),
                    payload: row.payload().to_vec(),
                    receipt: taken.receipt,
                }));
            }
        }
        rows
    }

    /// Says that everything up to `receipt` is committed.
    pub fn acknowledge(&self, receipt: Receipt) {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
        self.slot.acknowledge(receipt, epoch);
    }

    /// Hands feedback to the link, as a committed epoch does; the id is made of `index`.
    pub fn hand(&self, index: u32, names: Vec<(String, String)>, payload: &[u8]) -> FeedbackId {
        let id = FeedbackId { generation: 7, epoch: 3, index };
        self.slot.hand(LinkRow::Feedback(OutboxEntry {
            id,
            model: 0,
            twin: "twin-0".into(),
            cause: None,
            names,
            payload: payload.to_vec(),
            created_at: Timestamp(1),
        }));
        id
    }

    /// The taken positions, as a store would keep them.
    pub fn positions(&self) -> Vec<Position> {
        let link = self.slot.open();
        let positions = link.intake.positions();
        self.slot.close();
        positions
    }
}

impl fmt::Debug for Dataflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataflow").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// A session that runs.
#[derive(Debug)]
pub struct Session<C> {
    task: JoinHandle<(C, Result<(), ConnectorError>)>,
    slot: Arc<Slot>,
    patience: Duration,
}

impl<C: Connector> Session<C> {
    /// Whether `run` has returned.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until `run` returns, and closes the link as the engine does.
    ///
    /// # Panics
    ///
    /// With `rule` if it does not return in time or panics.
    pub async fn ended(self, rule: &str) -> (C, Result<(), ConnectorError>) {
        let Ok(ended) = timeout(self.patience, self.task).await else {
            panic!("{rule}: the session still runs after {:?}", self.patience);
        };
        self.slot.close();
        ended.unwrap_or_else(|cause| panic!("{rule}: the session panicked: {cause}"))
    }

    /// Stops the session.
    ///
    /// # Panics
    ///
    /// If it does not return in time, or not with `Ok`.
    pub async fn stopped(self) -> C {
        self.slot.stop();
        let (connector, result) = self.ended("stop returns within its deadline").await;
        assert!(result.is_ok(), "stop is not an error: {result:?}");
        connector
    }

    /// Waits until the session ends because its connection was cut.
    ///
    /// # Panics
    ///
    /// If it does not end in time with a retryable error.
    pub async fn broken(self) -> C {
        let (connector, result) = self.ended("a lost session ends").await;
        let error = result.expect_err("a lost session is an error, not an end");
        assert!(error.is_retryable(), "a lost session is a retryable error: {error:?}");
        connector
    }
}
