//! Devices over MQTT: what they publish goes to a connection with `dedupe` and to one without.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;
use twinflow_servers::Proxy;

use super::callers::ids_of;
use crate::mqtt::{Devices, Tap};

/// The model of a message: even ones go where nothing recognises them, odd ones where `dedupe` is.
pub(crate) const MODELS: [&str; 2] = ["loose", "once"];

/// Messages that are published at a time, every tenth of a second.
const BATCH: u64 = 40;

/// Publishes until it is ended.
pub(crate) struct Published {
    pub(crate) tap: Tap,
    pub(crate) proxy: Proxy,
    broker: SocketAddr,
    twins: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    count: AtomicU64,
}

impl Published {
    /// A way to the broker for the program. Nothing is published yet.
    pub(crate) fn new(broker: SocketAddr, twins: u64) -> Self {
        let tap = Tap::default();
        let seen = tap.clone();
        let watcher = move |way, connection, bytes: &[u8]| seen.take(way, connection, bytes);
        let proxy = Proxy::start_watched(broker, Box::new(watcher)).unwrap();
        Self { tap, proxy, broker, twins, shared: Arc::default(), thread: None }
    }

    /// Publishes from now on, straight to the broker, which must have the program's sessions.
    pub(crate) fn start(&mut self) {
        let (own, broker, twins) = (Arc::clone(&self.shared), self.broker, self.twins);
        self.thread = Some(std::thread::spawn(move || {
            let mut devices = Devices::connect(broker);
            while !own.stop.load(Ordering::SeqCst) {
                let from = own.count.load(Ordering::SeqCst);
                devices.publish((from..from + BATCH).map(|n| message(n, twins)));
                own.count.store(from + BATCH, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(100));
            }
        }));
    }

    /// How many messages the broker has.
    pub(crate) fn count(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }

    /// Names of the twins of these messages that belong to a model.
    pub(crate) fn twins_of(&self, model: usize, numbers: impl Iterator<Item = u64>) -> Vec<String> {
        let own = numbers.filter(|n| n % 2 == model as u64);
        let twins: HashSet<_> = own.map(|n| twin(n, self.twins)).collect();
        twins.into_iter().collect()
    }
}

fn twin(number: u64, twins: u64) -> String {
    format!("m-{}", number / 2 % twins)
}

fn message(number: u64, twins: u64) -> (String, String) {
    let model = MODELS[number as usize % 2];
    (format!("plant/{model}/{}/up", twin(number, twins)), format!("{{\"id\":{number}}}"))
}

/// How many of these messages of a model the states lack.
pub(crate) fn lost(numbers: &[u64], model: usize, states: &BTreeMap<String, Value>) -> u64 {
    let applied: HashSet<_> = states.values().flat_map(ids_of).collect();
    let own = numbers.iter().filter(|n| **n % 2 == model as u64);
    own.filter(|n| !applied.contains(n)).count() as u64
}

/// How many applications there are beyond one of each message, and how many of these are beyond
/// what the broker delivered.
pub(crate) fn twice(states: &BTreeMap<String, Value>, delivered: &HashMap<u64, u64>) -> (u64, u64) {
    let mut times = HashMap::<u64, u64>::new();
    for id in states.values().flat_map(ids_of) {
        *times.entry(id).or_default() += 1;
    }
    let beyond = |most: &dyn Fn(u64) -> u64| {
        times.iter().map(|(id, times)| times.saturating_sub(most(*id))).sum::<u64>()
    };
    let delivered = |id: u64| delivered.get(&id).copied().unwrap_or_default();
    (beyond(&|_| 1), beyond(&delivered))
}
