//! A dataflow of one's own: takes deliveries, hands rows, acknowledges, when the test says so.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use twinflow_connectors::{
    Connector,
    error::ConnectorError,
    frame::FrameView,
    link::{
        Edge, FeedbackId, LinkRow, ModelNames, OUTBOX_LIMITS, OutboxEntry, OutcomeKind, Receipt,
        Slot, SlotPlace, Wake,
    },
    message::{Format, Timestamp},
    rest::Rest,
    route::slot_worker,
    row::RowKind,
};

/// One delivery as the fake dataflow took it.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) slot: usize,
    pub(crate) receipt: Receipt,
    pub(crate) owners: Vec<u32>,
    pub(crate) rows: Vec<Arrival>,
}

/// One row of a delivery.
#[derive(Debug, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) model: u16,
    pub(crate) twin: String,
    pub(crate) payload: String,
    pub(crate) id: Option<String>,
    pub(crate) time: Option<u64>,
}

impl Arrived {
    pub(crate) fn payloads(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.payload.as_str()).collect()
    }
}

pub(crate) struct Fake {
    pub(crate) rest: Rest,
    pub(crate) address: SocketAddr,
    pub(crate) edge: Arc<Edge>,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) sessions: Vec<JoinHandle<Result<(), ConnectorError>>>,
    bell: Arc<Notify>,
    wake: Arc<Wake>,
}

impl Fake {
    /// A running connection with one worker and the models `m` (0) and `n` (1).
    pub(crate) async fn start() -> Self {
        Self::with(Rest::listen("127.0.0.1:0"), 1).await
    }

    pub(crate) async fn with(rest: Rest, workers: usize) -> Self {
        Self::with_headers(rest, workers, &[]).await
    }

    /// The same, with headers that let the test in.
    pub(crate) async fn with_headers(rest: Rest, workers: usize, headers: &[(&str, &str)]) -> Self {
        let mut fake = Self::new(rest, workers);
        for number in 0..workers {
            fake.open(number);
        }
        fake.listens(headers).await;
        fake
    }

    /// Bound, but without a session.
    pub(crate) fn new(rest: Rest, workers: usize) -> Self {
        let address = rest.bind().unwrap().unwrap();
        let bell = Arc::new(Notify::new());
        let wake = Arc::new(Wake::default());
        let ring = Arc::clone(&bell);
        wake.attach(move || ring.notify_one());
        let models = ModelNames::new([("m".to_owned(), 0), ("n".to_owned(), 1)]);
        let edge = Edge::new(workers, models, Arc::new(|| Timestamp(7)));
        let slot = |number| {
            let place = SlotPlace {
                connection_number: 0,
                id: number as u16,
                connection: "web".into(),
                number,
                slots: workers,
                worker: slot_worker("web", number, workers),
                format: Format::Json,
                answers: true,
                dedupe_keep_secs: Some(60),
            };
            Slot::new(place, Arc::clone(&edge), Arc::clone(&wake), OUTBOX_LIMITS)
        };
        let slots = (0..workers).map(slot).collect();
        Self { rest, address, edge, slots, sessions: Vec::new(), bell, wake }
    }

    /// Opens a session of a slot, as the engine does.
    pub(crate) fn open(&mut self, number: usize) {
        let mut connector = self.rest.for_slot(number).unwrap();
        let link = self.slots[number].open();
        self.sessions.push(tokio::spawn(async move { connector.run(link).await }));
    }

    /// Waits until all sessions take messages: nothing else tells a test.
    async fn listens(&self, headers: &[(&str, &str)]) {
        let path = "/v1/twins/m/nobody/feedback";
        while crate::client::call(self.address, "GET", path, headers, "").await.status == 503 {
            tokio::task::yield_now().await;
        }
    }

    /// The next delivery of any slot.
    pub(crate) async fn take(&self) -> Arrived {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.wake.heard();
            if let Some(arrived) = self.try_take() {
                return arrived;
            }
            timeout_at(deadline, self.bell.notified()).await.expect("nothing was delivered");
        }
    }

    pub(crate) fn try_take(&self) -> Option<Arrived> {
        let (slot, taken) =
            self.slots.iter().enumerate().find_map(|(n, slot)| Some((n, slot.take()?)))?;
        let mut rows = Vec::new();
        let mut owners = Vec::new();
        for frame in &taken.frames {
            let view = FrameView::new(&frame.directory, &frame.body);
            for row in (0..view.rows()).map(|index| view.row(index)) {
                assert_eq!(row.kind(), RowKind::Message);
                owners.push(frame.owner);
                let attributes = row.attributes();
                let place = row.position() & 0xffff;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let arrival = Arrival {
                    model: row.model(),
                    twin: row.id().to_owned(),
                    payload: text(row.payload()),
                    id: attributes.message_id().map(text),
                    time: attributes.source_time().map(|time| time.0),
                };
                rows.push((place, arrival));
            }
        }
        rows.sort_by_key(|(place, _)| *place);
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Some(Arrived { slot, receipt: taken.receipt, owners, rows })
    }

    /// Hands feedback of an epoch's commit, caused by a delivery or by none.
    pub(crate) fn feedback(&self, slot: usize, cause: Option<Receipt>, twin: &str, payload: &str) {
        let unconfirmed =
            self.slots[slot].statistics.feedback_sent.load(std::sync::atomic::Ordering::Relaxed);
        let waiting = self.slots[slot].unconfirmed() as u32;
        self.slots[slot].hand(LinkRow::Feedback(OutboxEntry {
            id: FeedbackId { generation: 1, epoch: 5 + unconfirmed, index: waiting },
            model: 0,
            twin: twin.into(),
            cause,
            names: Vec::new(),
            payload: payload.into(),
            created_at: Timestamp(7),
        }));
    }

    pub(crate) fn rejected(&self, of: &Arrived, index: u32, dead_letter: u64, reason: &str) {
        let (receipt, reason) = (of.receipt, reason.to_owned());
        self.slots[of.slot].hand(LinkRow::Rejected { receipt, index, dead_letter, reason });
    }

    pub(crate) fn outcome(&self, of: &Arrived, index: u32, kind: OutcomeKind) {
        let receipt = of.receipt;
        self.slots[of.slot].hand(LinkRow::Outcome { receipt, index, kind });
    }

    pub(crate) fn acknowledge(&self, of: &Arrived, epoch: u64) {
        self.slots[of.slot].acknowledge(of.receipt, epoch);
    }

    /// Waits until a slot has this many unconfirmed messages; a confirmation rings the bell.
    pub(crate) async fn unconfirmed(&self, slot: usize, wanted: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.wake.heard();
            let now = self.slots[slot].unconfirmed();
            if now == wanted {
                return;
            }
            let rung = timeout_at(deadline, self.bell.notified()).await;
            rung.unwrap_or_else(|_| panic!("{now} unconfirmed, wanted {wanted}"));
        }
    }
}
