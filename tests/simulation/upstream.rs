//! The two kinds of sources, with everything that the world outside knows of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::Notify;
use twinflow::{
    connectors::{
        Connector, ConnectorInfo, Guarantee,
        error::{ConnectorError, ErrorKind},
        link::{Delivery, Feedback, FeedbackId, Link, LinkEvent, LinkEvents, LinkIntake, Receipt},
        message::{Message, PartitionRef},
    },
    store::SimDisk,
};

use crate::{
    plan::{From, PARTITIONS, Sent},
    twin::{Reply, Step},
};

/// Unacknowledged messages that the queue allows.
const WINDOW: usize = 12;
/// Positions that a session of the log goes back behind what the engine has.
const BACK: u64 = 3;

/// One message as it waits.
#[derive(Clone)]
pub(crate) struct Waits {
    pub(crate) n: u64,
    pub(crate) twin: String,
    pub(crate) payload: Vec<u8>,
}

/// A feedback that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) twin: String,
    pub(crate) id: FeedbackId,
    pub(crate) reply: Reply,
}

/// What somebody was told is kept for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Per partition how many are acknowledged.
    pub(crate) done: [u64; PARTITIONS],
    /// Numbers of the queue that were acknowledged.
    pub(crate) queue_done: BTreeSet<u64>,
}

impl Told {
    /// Both together.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.queue_done.extend(&other.queue_done);
        for (done, of_other) in all.done.iter_mut().zip(other.done) {
            *done = of_other.max(*done);
        }
        all
    }
}

/// What the world outside knows.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) log: [Vec<Waits>; PARTITIONS],
    pub(crate) told: Told,
    /// The part of it that came from lives that were over, as far as anybody knew.
    pub(crate) told_late: Told,
    /// The life that sources talk to, and lives whose process has ended.
    life: usize,
    ended: BTreeSet<usize>,
    /// Per partition where the engine went on after its last start.
    pub(crate) stored: BTreeMap<usize, u64>,
    /// Unacknowledged, oldest first; of these the session has `delivered`.
    pub(crate) queue: VecDeque<Waits>,
    delivered: usize,
    /// Everything that the queue was ever given.
    pub(crate) queued: Vec<Waits>,
    pub(crate) came: Vec<Came>,
    cuts: [u64; 2],
    pub(crate) confirms: bool,
    /// Sessions wait until the test has looked at what was recovered.
    open: bool,
    happenings: u64,
}

impl Outside {
    /// Where it counts what this life tells.
    fn told_by(&mut self, life: usize) -> &mut Told {
        if self.life == life { &mut self.told } else { &mut self.told_late }
    }

    /// How many sessions each source had at the most, but for those of new lives.
    pub(crate) fn sessions(&self) -> usize {
        1 + self.cuts.iter().max().copied().unwrap_or(0) as usize
    }
}

/// The world outside; clones are the same.
#[derive(Clone)]
pub(crate) struct Upstream {
    outside: Arc<Mutex<Outside>>,
    changed: Arc<Notify>,
    happened: Arc<Condvar>,
    disk: Arc<Mutex<SimDisk>>,
}

impl Upstream {
    pub(crate) fn new(disk: SimDisk) -> Self {
        let outside = Outside { confirms: true, ..Outside::default() };
        Self {
            outside: Arc::new(Mutex::new(outside)),
            changed: Arc::default(),
            happened: Arc::default(),
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    pub(crate) fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().unwrap()
    }

    /// Goes on with another life, and lets none of its sessions begin.
    pub(crate) fn close_gate(&self, disk: SimDisk, life: usize) {
        *self.disk.lock().unwrap() = disk;
        let mut outside = self.outside();
        outside.open = false;
        outside.life = life;
        outside.told_late = Told::default();
        outside.stored.clear();
    }

    /// The process of a life has ended: its sessions are no more.
    pub(crate) fn ended(&self, life: usize) {
        self.change(|outside| outside.ended.insert(life));
    }

    fn step(&self, what: &'static str) {
        let disk = self.disk.lock().unwrap().clone();
        disk.step_outside(what);
    }

    /// Changes something and tells everybody.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Outside) -> T) -> T {
        let mut outside = self.outside();
        let value = change(&mut outside);
        outside.happenings += 1;
        drop(outside);
        self.changed.notify_waiters();
        self.happened.notify_all();
        value
    }

    pub(crate) fn open_gate(&self) {
        self.change(|outside| outside.open = true);
    }

    pub(crate) fn cut(&self, which: usize) {
        self.change(|outside| outside.cuts[which] += 1);
    }

    pub(crate) fn send(&self, n: u64, sent: &Sent) {
        let payload = serde_json::to_vec(&Step { n, act: sent.act }).unwrap();
        let waits = Waits { n, twin: sent.twin.clone(), payload };
        self.change(|outside| match sent.from {
            From::Log(partition) => outside.log[partition].push(waits),
            From::Queue => {
                outside.queued.push(waits.clone());
                outside.queue.push_back(waits);
            }
        });
    }

    /// The queue sends an old message again; whether it has it.
    pub(crate) fn again(&self, n: u64) {
        self.change(|outside| {
            let old = outside.queued.iter().find(|old| old.n == n).cloned();
            outside.queue.extend(old);
        });
    }

    /// Waits until something holds or does not within three seconds; whether it does.
    pub(crate) fn wait(&self, mut holds: impl FnMut(&Outside) -> bool) -> bool {
        let (outside, limit) = (self.outside(), Duration::from_secs(3));
        let waited = self.happened.wait_timeout_while(outside, limit, |outside| !holds(outside));
        !waited.unwrap().1.timed_out()
    }

    pub(crate) fn connectors(&self, slots: usize, life: usize) -> (LogSource, QueueSource) {
        let log = LogSource { up: self.clone(), slot: 0, slots, life };
        (log, QueueSource { up: self.clone(), life })
    }

    fn over(&self, which: usize, cuts: u64, life: usize) -> Result<(), ConnectorError> {
        let outside = self.outside();
        match outside.cuts[which] > cuts || outside.ended.contains(&life) {
            true => Err(ConnectorError::new(ErrorKind::Unreachable, "go on: the session was cut")),
            false => Ok(()),
        }
    }

    fn feedback(&self, feedback: Feedback, events: &mut LinkEvents) {
        self.step("feedback sent");
        let reply: Reply = serde_json::from_slice(&feedback.payload).unwrap();
        let came = Came { twin: feedback.twin, id: feedback.id, reply };
        let confirms = self.change(|outside| {
            outside.came.push(came);
            outside.confirms
        });
        if confirms {
            self.step("feedback confirmed");
            events.sent(feedback.ticket);
        }
    }

    /// Waits for the gate. Nothing is heard meanwhile: what is told is told once.
    async fn gate(&self, life: usize) {
        loop {
            let changed = self.changed.notified();
            let may_begin = |outside: &Outside| outside.open && outside.life == life;
            if may_begin(&self.outside()) {
                return;
            }
            changed.await;
        }
    }
}

/// What every message has in common.
fn push(delivery: &mut Delivery<'_>, waits: &Waits, at: Option<(PartitionRef, u64)>) -> bool {
    let id = waits.n.to_le_bytes();
    delivery.push(&Message {
        id: at.is_none().then_some(&id[..]),
        position: at,
        ..Message::new("note", &waits.twin, &waits.payload)
    })
}

/// A slot of the source with positions: those partitions that are `slot` modulo `slots`.
pub(crate) struct LogSource {
    up: Upstream,
    slot: usize,
    slots: usize,
    life: usize,
}

/// A session of it.
struct LogSession {
    /// Partition, its number on the link, the next position.
    places: Vec<(usize, PartitionRef, u64)>,
    unacknowledged: VecDeque<(Receipt, Vec<(usize, u64)>)>,
}

impl LogSession {
    fn begin(source: &LogSource, intake: &mut LinkIntake) -> Self {
        let own = (0..PARTITIONS).filter(|it| it % source.slots == source.slot);
        let places = own.map(|number| {
            let (partition, next) = intake.partition("log", number as i32);
            let next = next.unwrap_or(0);
            source.up.change(|outside| *outside.stored.entry(number).or_insert(next) = next);
            (number, partition, next.saturating_sub(BACK))
        });
        Self { places: places.collect(), unacknowledged: VecDeque::new() }
    }

    fn has_more(&self, up: &Upstream) -> bool {
        let outside = up.outside();
        self.places.iter().any(|(number, _, next)| *next < outside.log[*number].len() as u64)
    }

    fn deliver(&mut self, up: &Upstream, mut delivery: Delivery<'_>) {
        let outside = up.outside();
        let mut marks = vec![];
        for (number, partition, next) in &mut self.places {
            while let Some(waits) = outside.log[*number].get(*next as usize) {
                if !push(&mut delivery, waits, Some((*partition, *next))) {
                    break;
                }
                *next += 1;
            }
            marks.push((*number, *next));
        }
        drop(outside);
        if delivery.is_empty() {
            delivery.deliver();
        } else {
            self.unacknowledged.push_back((delivery.deliver(), marks));
        }
    }

    fn acknowledged(&mut self, up: &Upstream, life: usize, up_to: Receipt) {
        up.step("acknowledged");
        while self.unacknowledged.front().is_some_and(|(receipt, _)| *receipt <= up_to) {
            let (_, marks) = self.unacknowledged.pop_front().unwrap();
            up.change(|outside| {
                let told = outside.told_by(life);
                for (number, next) in marks {
                    told.done[number] = told.done[number].max(next);
                }
                outside.told = outside.told.and(&outside.told_late);
            });
        }
    }
}

impl Connector for LogSource {
    fn slots(&self, _: usize) -> usize {
        self.slots
    }

    fn for_slot(&mut self, slot: usize) -> Option<Self> {
        Some(Self { up: self.up.clone(), slot, slots: self.slots, life: self.life })
    }

    fn info(&self) -> ConnectorInfo {
        let guarantee = Guarantee::ExactlyOnce;
        ConnectorInfo { guarantee, ..info() }
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        let Link { mut intake, mut events } = link;
        self.up.gate(self.life).await;
        let cuts = self.up.outside().cuts[0];
        let (mut session, mut reading) = (LogSession::begin(self, &mut intake), true);
        loop {
            let changed = self.up.changed.notified();
            self.up.over(0, cuts, self.life)?;
            tokio::select! {
                biased;
                event = events.next() => match event {
                    LinkEvent::Acknowledged { up_to, .. } => {
                        session.acknowledged(&self.up, self.life, up_to);
                    }
                    LinkEvent::Send(feedback) => self.up.feedback(feedback, &mut events),
                    LinkEvent::Drain => reading = false,
                    LinkEvent::Stop => return Ok(()),
                    LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
                },
                permit = intake.reserve(), if reading && session.has_more(&self.up) => {
                    session.deliver(&self.up, permit?);
                }
                () = changed => {}
            }
        }
    }
}

fn info() -> ConnectorInfo {
    ConnectorInfo { feedback_expiry_secs: Some(1 << 30), ..ConnectorInfo::default() }
}

/// The source that waits for acknowledgements.
pub(crate) struct QueueSource {
    up: Upstream,
    life: usize,
}

/// Receipts of deliveries, with the numbers of their messages.
type Unacknowledged = VecDeque<(Receipt, Vec<u64>)>;

impl QueueSource {
    fn deliver(&self, mut delivery: Delivery<'_>, unacknowledged: &mut Unacknowledged) {
        let mut outside = self.up.outside();
        let (before, most) = (outside.delivered, outside.queue.len().min(WINDOW));
        let waiting = outside.queue.range(before.min(most)..most);
        let pushed = waiting.take_while(|waits| push(&mut delivery, waits, None));
        let pushed: Vec<u64> = pushed.map(|waits| waits.n).collect();
        outside.delivered += pushed.len();
        drop(outside);
        unacknowledged.push_back((delivery.deliver(), pushed));
    }

    /// A life that is over is given nothing: the queue talks to the next one.
    fn has_more(&self) -> bool {
        let outside = self.up.outside();
        outside.life == self.life && outside.delivered < outside.queue.len().min(WINDOW)
    }

    fn acknowledged(&self, up_to: Receipt, unacknowledged: &mut Unacknowledged) {
        self.up.step("acknowledged");
        while unacknowledged.front().is_some_and(|(receipt, _)| *receipt <= up_to) {
            let (_, numbers) = unacknowledged.pop_front().unwrap();
            self.up.change(|outside| {
                if outside.life == self.life {
                    outside.delivered -= numbers.len();
                    outside.queue.drain(..numbers.len());
                }
                outside.told_by(self.life).queue_done.extend(numbers);
                outside.told = outside.told.and(&outside.told_late);
            });
        }
    }
}

impl Connector for QueueSource {
    fn info(&self) -> ConnectorInfo {
        ConnectorInfo { dedupe_keep_secs: Some(1 << 30), ..info() }
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        let Link { mut intake, mut events } = link;
        self.up.gate(self.life).await;
        let cuts = self.up.outside().cuts[1];
        self.up.outside().delivered = 0;
        let (mut unacknowledged, mut reading) = (VecDeque::new(), true);
        loop {
            let changed = self.up.changed.notified();
            self.up.over(1, cuts, self.life)?;
            tokio::select! {
                biased;
                event = events.next() => match event {
                    LinkEvent::Acknowledged { up_to, .. } => {
                        self.acknowledged(up_to, &mut unacknowledged);
                    }
                    LinkEvent::Send(feedback) => self.up.feedback(feedback, &mut events),
                    LinkEvent::Drain => reading = false,
                    LinkEvent::Stop => return Ok(()),
                    LinkEvent::Rejected { .. } | LinkEvent::Outcome { .. } => {}
                },
                permit = intake.reserve(), if reading && self.has_more() => {
                    self.deliver(permit?, &mut unacknowledged);
                }
                () = changed => {}
            }
        }
    }
}
