//! An in-process broker with redelivery, for tests, examples and benches.
//!
//! [`Memory`] is the connector and [`MemoryBroker`] the handle for the world outside: it sends,
//! cuts the connection, counts what was acknowledged and receives feedback. Its two kinds behave
//! like the two families of brokers: [`Memory::replayable`] is a log per partition whose positions
//! travel with the rows, as in Kafka; [`Memory::acknowledged`] is a queue with a window of
//! unacknowledged deliveries, as MQTT at QoS 1. [`Memory::buffers`] hands over bytes that lie
//! ready, as fast as a link takes them or at fixed times.
//!
//! ```
//! use twinflow_connectors::memory::Memory;
//!
//! let memory = Memory::replayable(2);
//! let broker = memory.broker();
//! broker.send("pump", "pump-17", r#"{"celsius": 61}"#);
//! assert_eq!((broker.backlog(), broker.acknowledged()), (1, 0));
//! // `memory` goes into `Engine::builder().connection("plant", memory)`.
//! ```

mod broker;
mod buffers;
mod session;
mod store;
#[cfg(all(test, feature = "testing"))]
mod tests;

pub use broker::{MemoryBroker, MemoryMessage};
pub use buffers::{BufferMessage, BuffersProgress, MemoryBuffer, MemoryBuffers};

use self::{session::Session, store::Store};
use crate::{
    Connector, ConnectorAbout, ConnectorInfo, Guarantee,
    error::ConnectorError,
    link::{Link, LinkEvent},
    message::Format,
};

/// A connection to an in-process broker.
#[derive(Debug)]
pub struct Memory {
    broker: MemoryBroker,
    info: ConnectorInfo,
}

impl Memory {
    /// A broker that keeps a log for each of `partitions` and never forgets; after a reconnect it
    /// goes on behind what the engine has taken, and a new engine behind what is stored.
    pub fn replayable(partitions: usize) -> Self {
        Self::new(Store::replayable(partitions), Guarantee::ExactlyOnce)
    }

    /// A broker that waits for acknowledgements: at most `window` messages are unacknowledged at
    /// once, and after a reconnect those come again, in order and before anything newer.
    pub fn acknowledged(window: usize) -> Self {
        Self::new(Store::acknowledged(window), Guarantee::AtLeastOnce)
    }

    /// Partitions of messages that lie ready in shared buffers, each a slot of its own.
    pub fn buffers(model: &str, partitions: Vec<Vec<MemoryBuffer>>) -> MemoryBuffers {
        MemoryBuffers::new(model, partitions)
    }

    fn new(store: Store, guarantee: Guarantee) -> Self {
        let info = ConnectorInfo { guarantee, ..ConnectorInfo::default() };
        Self { broker: MemoryBroker::new(store), info }
    }

    /// The other end. It stays when the connector goes, and keeps what was sent.
    pub fn broker(&self) -> MemoryBroker {
        self.broker.clone()
    }

    /// How payloads are meant; JSON if nobody says otherwise.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.info.format = format;
        self
    }

    /// What the engine is told of this connection, instead of what fits the kind.
    #[must_use]
    pub fn with_info(mut self, info: ConnectorInfo) -> Self {
        self.info = info;
        self
    }
}

impl From<&MemoryBroker> for Memory {
    /// Another connection to the same broker: the engine after a restart.
    fn from(broker: &MemoryBroker) -> Self {
        let guarantee =
            if broker.is_replayable() { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce };
        let info = ConnectorInfo { guarantee, ..ConnectorInfo::default() };
        Self { broker: broker.clone(), info }
    }
}

impl Connector for Memory {
    fn about(&self) -> ConnectorAbout {
        ConnectorAbout { kind: "memory", address: None }
    }

    fn info(&self) -> ConnectorInfo {
        self.info
    }

    async fn run(&mut self, link: Link) -> Result<(), ConnectorError> {
        let Link { mut intake, mut events } = link;
        let mut session = Session::connect(&self.broker, &mut intake)?;
        loop {
            // Made before looking, so that no change is missed.
            let changed = self.broker.changed();
            session.confirm(&mut events);
            if session.is_over()? {
                return Ok(());
            }
            tokio::select! {
                biased;
                event = events.next() => {
                    if event == LinkEvent::Stop {
                        return Ok(());
                    }
                    session.tell(event, &mut events);
                }
                permit = intake.reserve(), if session.has_more() => session.deliver(permit?),
                () = changed => {}
            }
            // A link that always has room would never let the runtime's other tasks run.
            tokio::task::consume_budget().await;
        }
    }
}
