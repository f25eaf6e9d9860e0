//! F20: most of the load is for one twin. Its messages are few calls, and the others wait no longer
//! than without it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use twinflow::{
    Engine,
    connectors::memory::{Memory, MemoryBroker, MemoryMessage},
    prelude::*,
};

use crate::common::{Act, PATIENCE, Step, step};

/// Batches of one round, and messages of a batch: of ten, one is answered and is for a twin of its
/// own kind.
const BATCHES: u64 = 100;
const BATCH: u64 = 100;
const PACE: Duration = Duration::from_millis(10);

/// Rounds of each kind, in turns: what disturbs a machine makes some of them longer.
const ROUNDS: u64 = 3;

/// Twins that share what the hot one does not get.
const OTHERS: u64 = 997;

/// How many messages there were, and whether they came in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tally {
    messages: u64,
    newest: Option<u64>,
    calls: u64,
}

impl TwinModel for Tally {
    type Message<'m> = Step;
}

struct Count;

impl MessageProcessor for Count {
    type Model = Tally;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        tally: &mut Tally,
        steps: Messages<'_, Step>,
    ) -> ProcessingResult {
        tally.calls += 1;
        for step in steps {
            if tally.newest >= Some(step.n) {
                return Err(ProcessingError::message(format!("{} is out of order", step.n)));
            }
            (tally.messages, tally.newest) = (tally.messages + 1, Some(step.n));
            if step.act == Act::Reply {
                cx.send_to_data_source(&step.n)?;
            }
        }
        Ok(Outcome::Update)
    }
}

/// Sends a round; how long 99 of 100 answers took at most, and the most epochs that were open.
#[expect(clippy::disallowed_methods, reason = "a test's own measurement")]
fn round(engine: &Engine, broker: &MemoryBroker, first: u64, is_hot: bool) -> (Duration, u64) {
    let (mut sent, mut took, mut open) = (HashMap::new(), Vec::new(), 0);
    let message = |n: u64| match (n % 10, is_hot) {
        (9, _) => MemoryMessage::new("tally", &format!("asks-{}", n % 97), step(n, Act::Reply)),
        (_, true) => MemoryMessage::new("tally", "hot", step(n, Act::Count)),
        _ => MemoryMessage::new("tally", &format!("t-{}", n % OTHERS), step(n, Act::Count)),
    };
    let answers = BATCHES * BATCH / 10;
    for batch in 0..=BATCHES {
        let last = batch == BATCHES;
        let numbers = first + batch * BATCH..first + (batch + u64::from(!last)) * BATCH;
        sent.extend(numbers.clone().filter(|n| n % 10 == 9).map(|n| (n, Instant::now())));
        broker.send_all(numbers.map(message));
        broker.wait(if last { PATIENCE } else { PACE }, |broker| {
            for feedback in broker.feedback() {
                let n: u64 = serde_json::from_slice(&feedback.payload).unwrap();
                // One may come again, with the same number.
                took.extend(sent.remove(&n).map(|sent| sent.elapsed()));
            }
            took.len() as u64 == answers
        });
        let statistics = engine.handle().statistics();
        open = open.max(statistics.open_epoch - statistics.committed_epoch);
    }
    assert_eq!(took.len() as u64, answers, "all are answered");
    took.sort_unstable();
    (took[took.len() * 99 / 100], open)
}

#[test]
fn f20_a_hot_twin_is_few_calls_and_others_wait_no_longer_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::replayable(4);
    let broker = memory.broker();
    let builder = Engine::builder().workers(2).state_dir(dir.path()).model("tally", Count);
    let engine = builder.connection("plant", memory).start().unwrap();
    let (mut even, mut hot) = (Duration::MAX, Duration::MAX);
    for nth in 0..2 * ROUNDS {
        let is_hot = nth % 2 == 1;
        let (p99, open) = round(&engine, &broker, nth * BATCHES * BATCH, is_hot);
        assert!(open <= 8 + 1, "{open} epochs wait for their commit, or are open");
        let least = if is_hot { &mut hot } else { &mut even };
        *least = p99.min(*least);
    }
    // A moment of the scheduler is more than twice of nearly nothing.
    assert!(
        hot <= 2 * even + Duration::from_millis(20),
        "{hot:?} beside a hot twin, else {even:?}"
    );
    let twin: Tally = engine.twin("tally", "hot").unwrap().unwrap();
    assert_eq!(twin.messages, ROUNDS * BATCHES * BATCH / 10 * 9);
    assert!(twin.calls < twin.messages / 4, "{twin:?}");
    assert!(engine.handle().dead_letters().is_empty(), "all in order");
    engine.stop().unwrap();
}
