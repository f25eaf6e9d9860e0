//! Makes a plan happen and says what came of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use twinflow::{
    ConnectionSettings, Engine, StoreChoice,
    connectors::{
        link::Feedback,
        memory::{Memory, MemoryBroker, MemoryMessage},
    },
    store::{HeldStore, LocalLog},
};

use super::{
    plan::{Does, Plan, twin_id},
    twin::{Log, Note},
};
use crate::common::{Act, log, step, wait_acknowledged};

/// What came of a plan.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) twins: BTreeMap<String, Option<Log>>,
    /// Everything that each broker got, oldest first.
    pub(super) feedback: Vec<Vec<Feedback>>,
    /// Payloads of all dead letters.
    pub(super) dead_letters: Vec<Vec<u8>>,
    pub(super) overlaps: u64,
}

pub(super) struct World {
    dir: tempfile::TempDir,
    brokers: Vec<MemoryBroker>,
    /// How many messages each broker was sent.
    sent: Vec<u64>,
    numbers: u64,
    note: Note,
    /// Both are gone before they are made anew: the log has the lock of its directory.
    store: Option<Arc<HeldStore<LocalLog>>>,
    engine: Option<Engine>,
    plan: Plan,
}

const LAST: &str = "last";

impl World {
    pub(super) fn start(plan: &Plan) -> Self {
        let brokers = plan.replayable.iter().map(|replayable| {
            let memory = if *replayable { Memory::replayable(3) } else { Memory::acknowledged(20) };
            memory.broker()
        });
        let (dir, brokers) = (tempfile::tempdir().unwrap(), brokers.collect::<Vec<_>>());
        let note = Note::default();
        let (store, engine) = engine(&dir, &brokers, &note, plan.workers);
        let (sent, plan) = (vec![0; brokers.len()], plan.clone());
        Self {
            dir,
            brokers,
            sent,
            numbers: 0,
            note,
            store: Some(store),
            engine: Some(engine),
            plan,
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn store(&self) -> &HeldStore<LocalLog> {
        self.store.as_ref().unwrap()
    }

    pub(super) fn does(&mut self, step: &Does) {
        let name = |connection: usize| format!("plant-{connection}");
        match step {
            Does::Send(messages) => {
                for message in messages {
                    self.send(message.connection, &twin_id(message), message.act);
                }
            }
            Does::Settle => self.settle(),
            Does::Cut(connection) => self.brokers[*connection].cut(),
            Does::Pause(connection) => assert!(self.engine().handle().pause(&name(*connection))),
            Does::Resume(connection) => assert!(self.engine().handle().resume(&name(*connection))),
            Does::Hold => self.store().hold(),
            Does::Release => self.store().release(),
            Does::Restart(workers) => {
                self.store().release();
                self.engine.take().unwrap().stop().unwrap();
                self.restart(*workers);
            }
            Does::Kill(workers) => {
                drop(self.engine.take());
                self.restart(*workers);
            }
        }
    }

    fn send(&mut self, connection: usize, twin: &str, act: Act) {
        self.brokers[connection].send("note", twin, step(self.numbers, act));
        self.sent[connection] += 1;
        self.numbers += 1;
    }

    fn restart(&mut self, workers: usize) {
        self.store = None;
        let (store, engine) = engine(&self.dir, &self.brokers, &self.note, workers);
        (self.store, self.engine) = (Some(store), Some(engine));
    }

    /// Everything goes on, and everything sent is waited for. What an earlier session took is
    /// acknowledged together with something of this one, so each connection gets one more.
    fn settle(&mut self) {
        self.store().release();
        for connection in 0..self.brokers.len() {
            self.engine().handle().resume(&format!("plant-{connection}"));
            self.send_last(connection);
        }
        for (broker, sent) in self.brokers.iter().zip(&self.sent) {
            wait_acknowledged(broker, *sent);
        }
    }

    /// One message to every partition.
    fn send_last(&mut self, connection: usize) {
        for partition in 0..3 {
            let partition = self.plan.replayable[connection].then_some(partition);
            let message = MemoryMessage::new("note", LAST, step(u64::MAX, Act::Count));
            let message = MemoryMessage { partition, ..message };
            self.brokers[connection].send_with(message);
            self.sent[connection] += 1;
        }
    }

    pub(super) fn end(mut self) -> Came {
        self.settle();
        let engine = self.engine.take().unwrap();
        let ids: Vec<_> = self.plan.sent().iter().map(twin_id).collect();
        let twins = ids.into_iter().map(|id| (id.clone(), engine.twin("note", &id).unwrap()));
        let twins = twins.collect();
        let handle = engine.handle();
        let letters = handle.dead_letters().list(0, usize::MAX);
        let payload = |number| handle.dead_letter_payload(number).unwrap().unwrap();
        let dead_letters = letters.iter().map(|letter| payload(letter.number)).collect();
        let stopped = engine.stop().unwrap();
        assert!(stopped.left.is_empty(), "{stopped}");
        Came {
            twins,
            feedback: self.brokers.iter().map(MemoryBroker::feedback).collect(),
            dead_letters,
            overlaps: self.note.overlaps.load(Ordering::Relaxed),
        }
    }
}

fn engine(
    dir: &tempfile::TempDir,
    brokers: &[MemoryBroker],
    note: &Note,
    workers: usize,
) -> (Arc<HeldStore<LocalLog>>, Engine) {
    let store = Arc::new(HeldStore::new(log(dir.path())));
    let settings = ConnectionSettings {
        reconnect_backoff_ms: 1,
        reconnect_backoff_max_ms: 5,
        ..ConnectionSettings::default()
    };
    let mut builder = Engine::builder().workers(workers).model("note", note.clone());
    for (number, broker) in brokers.iter().enumerate() {
        let name = format!("plant-{number}");
        builder = builder.connection_with(&name, Memory::from(broker), settings.clone());
    }
    let engine = builder.store(StoreChoice::Custom(store.clone())).start().unwrap();
    (store, engine)
}
