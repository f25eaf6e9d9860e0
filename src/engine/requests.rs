//! The engine's own link on each worker: requests enter as rows and are answered by their owner,
//! once their epoch is committed (law R1).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{Mutex, oneshot},
};
use twinflow_connectors::{
    link::{Link, LinkEvent, LinkEvents, LinkIntake, OutcomeKind, Receipt, RequestRow, Slot},
    route::{bucket, owner, twin_hash},
};

use super::handle::RequestError;

/// What a request came to, and the epoch that it was answered in.
pub(super) type Answer = Result<(OutcomeKind, u64), String>;

type Waiting = Arc<std::sync::Mutex<BTreeMap<Receipt, Pending>>>;

/// A request that waits.
#[derive(Debug)]
struct Pending {
    outcome: Option<Result<OutcomeKind, String>>,
    answer: oneshot::Sender<Answer>,
}

/// One worker's engine link.
#[derive(Debug)]
struct EngineLink {
    slot: Arc<Slot>,
    intake: Mutex<LinkIntake>,
    waiting: Waiting,
}

/// The engine links of all workers, by worker.
#[derive(Debug)]
pub(crate) struct EngineLinks {
    links: Vec<EngineLink>,
}

impl EngineLinks {
    /// Opens the links and a task for each that gives out answers.
    pub(super) fn open(slots: &[Arc<Slot>], runtime: &Handle) -> Self {
        let open = |slot: &Arc<Slot>| {
            let Link { intake, events } = slot.open();
            let waiting = Waiting::default();
            drop(runtime.spawn(give_answers(events, Arc::clone(&waiting))));
            EngineLink { slot: Arc::clone(slot), intake: Mutex::new(intake), waiting }
        };
        Self { links: slots.iter().map(open).collect() }
    }

    /// Asks the twin's owner; the request makes its epoch like any data.
    pub(super) async fn ask(
        &self,
        request: RequestRow<'_>,
        limit: Duration,
    ) -> Result<(OutcomeKind, u64), RequestError> {
        let asked = tokio::time::timeout(limit, async {
            let answer = self.deliver(request).await?;
            answer.await.map_err(|_closed| RequestError::Stopping)
        });
        match asked.await {
            Ok(answer) => answer?.map_err(RequestError::Failed),
            Err(_elapsed) => Err(RequestError::TimedOut),
        }
    }

    async fn deliver(
        &self,
        request: RequestRow<'_>,
    ) -> Result<oneshot::Receiver<Answer>, RequestError> {
        let worker = owner(bucket(twin_hash(request.twin.as_bytes())), self.links.len());
        let link = &self.links[worker];
        let mut intake = link.intake.lock().await;
        let mut delivery = intake.reserve().await.map_err(|_stopped| RequestError::Stopping)?;
        delivery.push_request(&request);
        let (answer, receiver) = oneshot::channel();
        let pending = Pending { outcome: None, answer };
        link.waiting.lock().expect("requests").insert(delivery.receipt(), pending);
        delivery.deliver();
        Ok(receiver)
    }

    /// Ends the links; requests that still wait are told.
    pub(super) fn close(&self) {
        for link in &self.links {
            link.slot.close();
            link.waiting.lock().expect("requests").clear();
        }
    }
}

/// Reads the events of one link until it is closed.
async fn give_answers(mut events: LinkEvents, waiting: Waiting) {
    loop {
        match events.next().await {
            LinkEvent::Outcome { receipt, kind, .. } => note(&waiting, receipt, Ok(kind)),
            LinkEvent::Rejected { receipt, reason, .. } => note(&waiting, receipt, Err(reason)),
            LinkEvent::Acknowledged { up_to, epoch } => answer(&waiting, up_to, epoch),
            // Nothing is sent to the engine itself; a confirmed ticket is out of the way.
            LinkEvent::Send(feedback) => events.sent(feedback.ticket),
            LinkEvent::Drain => {}
            LinkEvent::Stop => return,
        }
    }
}

fn note(waiting: &Waiting, receipt: Receipt, outcome: Result<OutcomeKind, String>) {
    if let Some(pending) = waiting.lock().expect("requests").get_mut(&receipt) {
        pending.outcome = Some(outcome);
    }
}

fn answer(waiting: &Waiting, up_to: Receipt, epoch: u64) {
    let mut waiting = waiting.lock().expect("requests");
    let later = waiting.split_off(&Receipt(up_to.0 + 1));
    for pending in std::mem::replace(&mut *waiting, later).into_values() {
        let answer = match pending.outcome {
            Some(outcome) => outcome.map(|kind| (kind, epoch)),
            None => Err("the pipeline dropped the request".to_owned()),
        };
        // Who asked may have gone.
        let _gone = pending.answer.send(answer).is_err();
    }
}
