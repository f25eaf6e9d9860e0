//! The suite, run for the connector of this crate that needs no server.

mod lies;

use super::*;
use crate::{
    link::Feedback,
    memory::{Memory, MemoryBroker, MemoryMessage},
};

struct InProcess {
    connector: Option<Memory>,
    broker: MemoryBroker,
    replayable: bool,
    arrived: Vec<Feedback>,
}

impl InProcess {
    fn new(memory: Memory, replayable: bool) -> Self {
        let broker = memory.broker();
        Self { connector: Some(memory), broker, replayable, arrived: Vec::new() }
    }
}

impl Upstream for InProcess {
    type Connector = Memory;

    fn connector(&mut self) -> Memory {
        self.connector.take().unwrap_or_else(|| Memory::from(&self.broker))
    }

    fn is_replayable(&self) -> bool {
        self.replayable
    }

    async fn send(&mut self, messages: Vec<Sent>) {
        let message = |(twin, payload): Sent| MemoryMessage::new(MODEL, &twin, payload);
        self.broker.send_all(messages.into_iter().map(message));
    }

    async fn cut(&mut self) {
        self.broker.cut();
    }

    async fn set_reachable(&mut self, reachable: bool) {
        self.broker.refuse(!reachable);
    }

    async fn acknowledged(&mut self) -> u64 {
        self.broker.acknowledged()
    }

    async fn until_acknowledged(&mut self, count: u64) {
        self.broker.until(|broker| broker.acknowledged() >= count).await;
    }

    async fn next_feedback(&mut self) -> ReceivedFeedback {
        let arrived = &mut self.arrived;
        self.broker
            .until(|broker| {
                arrived.extend(broker.feedback());
                !arrived.is_empty()
            })
            .await;
        let first = self.arrived.remove(0);
        let id = Some(first.id.to_string());
        ReceivedFeedback { twin: first.twin, payload: first.payload, id }
    }

    async fn withhold_confirmations(&mut self, withhold: bool) -> bool {
        self.broker.confirm_feedback(!withhold);
        true
    }

    async fn settle(&mut self) {
        // One thread: whoever can run has run after a few turns.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn memory_with_positions_conforms() {
    all(async || InProcess::new(Memory::replayable(3), true)).await;
}

#[tokio::test]
async fn memory_with_acknowledgements_conforms() {
    all(async || InProcess::new(Memory::acknowledged(20), false)).await;
}
