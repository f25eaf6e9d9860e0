//! Callers over REST: each sends one message after the other, with a key, until it is answered
//! with 200, and now and then one that was answered once more.

use std::{
    collections::{BTreeMap, HashSet},
    io::{BufReader, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

use super::stream::mix;
use crate::{
    clock::{Told, wall_nanos},
    program::read_answer,
};

const CALLERS: u64 = 6;

/// One message of so many is sent again after its answer.
const AGAIN_EVERY: u64 = 16;

/// All callers, until they are ended.
pub(crate) struct Callers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    port: u16,
    twins: u64,
    pause: Duration,
    stop: AtomicBool,
    answered: Mutex<Vec<Told>>,
    again: AtomicU64,
    /// Answers to repeated messages that were not 200, first tries that had no answer.
    unanswered: AtomicU64,
}

impl Callers {
    /// Each pauses so long between two messages.
    pub(crate) fn start(port: u16, twins: u64, pause: Duration) -> Self {
        let shared = Arc::new(Shared {
            port,
            twins,
            pause,
            stop: AtomicBool::new(false),
            answered: Mutex::default(),
            again: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        });
        let start = |caller| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.call(caller))
        };
        let threads = (0..CALLERS).map(start).collect();
        Self { shared, threads }
    }

    /// Everything that was answered, from the `from`-th on.
    pub(crate) fn answered(&self, from: usize) -> Vec<Told> {
        self.shared.answered.lock().unwrap()[from..].to_vec()
    }

    /// Messages that were sent once more after their 200, and tries without a 200.
    pub(crate) fn again(&self) -> (u64, u64) {
        let count = |it: &AtomicU64| it.load(Ordering::SeqCst);
        (count(&self.shared.again), count(&self.shared.unanswered))
    }

    /// Each ends with its message, or without an answer if there is none.
    pub(crate) fn end(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// The twin of a message.
pub(crate) fn twin(id: u64, twins: u64) -> String {
    format!("order-{}", mix(id) % twins)
}

impl Shared {
    fn call(&self, caller: u64) {
        let mut open = None;
        for nth in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let id = nth * CALLERS + caller;
            let Some(answered) = self.until_answered(&mut open, id) else { return };
            self.answered.lock().unwrap().push(answered);
            if mix(id + 1).is_multiple_of(AGAIN_EVERY) {
                let again = self.until_answered(&mut open, id);
                self.again.fetch_add(u64::from(again.is_some()), Ordering::SeqCst);
            }
            std::thread::sleep(self.pause);
        }
    }

    fn until_answered(&self, open: &mut Option<BufReader<TcpStream>>, id: u64) -> Option<Told> {
        let mut first = true;
        while first || !self.stop.load(Ordering::SeqCst) {
            let sent = wall_nanos();
            if let Some(200) = self.post(open, id) {
                return Some(Told { id, first, sent, at: wall_nanos() });
            }
            first = false;
            *open = None;
            self.unanswered.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// The status of an answer, if there is one.
    fn post(&self, open: &mut Option<BufReader<TcpStream>>, id: u64) -> Option<u16> {
        let stream = match open {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
                stream.set_nodelay(true).ok()?;
                stream.set_read_timeout(Some(Duration::from_secs(15))).ok()?;
                open.insert(BufReader::new(stream))
            }
        };
        let (twin, body) = (twin(id, self.twins), format!("{{\"id\":{id}}}"));
        let request = format!(
            "POST /v1/twins/orders/{twin}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Idempotency-Key: \"k-{id}\"\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).ok()?;
        Some(read_answer(stream)?.0)
    }
}

/// How many of these messages the states lack.
pub(crate) fn lost(answered: &[Told], states: &BTreeMap<String, Value>) -> u64 {
    let applied: HashSet<_> = states.values().flat_map(ids_of).collect();
    answered.iter().filter(|it| !applied.contains(&it.id)).count() as u64
}

/// How many applications there are beyond one of each message.
pub(crate) fn twice(states: &BTreeMap<String, Value>) -> u64 {
    let more = |state: &Value| {
        let ids = ids_of(state);
        (ids.len() - ids.iter().collect::<HashSet<_>>().len()) as u64
    };
    states.values().map(more).sum()
}

/// The ids that a journal has applied, in order.
pub(crate) fn ids_of(state: &Value) -> Vec<u64> {
    let ids: Vec<u64> = state["ids"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(state["count"], ids.len(), "the journal keeps all of its ids");
    ids
}

fn number(id: &Value) -> u64 {
    id.as_str().unwrap().parse().unwrap()
}
