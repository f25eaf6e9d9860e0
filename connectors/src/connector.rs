//! What a connector is to the engine.

use serde::de::DeserializeOwned;

use crate::{error::ConnectorError, link::Link, message::Format};

/// A kind of integration, configured and ready to run sessions.
///
/// The contract in numbered MUSTs is in this crate's README.
pub trait Connector: Send + 'static {
    /// How many slots it wants, each with a link of its own on a fixed worker (law S1).
    fn slots(&self, workers: usize) -> usize {
        let _one_by_default = workers;
        1
    }

    /// The instance for one more slot; asked for slots 1, 2, ... of a connector that wants several.
    fn for_slot(&mut self, _number: usize) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// What it is and where it listens or connects to, in words for people.
    fn about(&self) -> ConnectorAbout {
        ConnectorAbout::default()
    }

    /// What the engine must know before it makes the links.
    fn info(&self) -> ConnectorInfo {
        ConnectorInfo::default()
    }

    /// Takes what must be had before anything starts: checks settings, binds a listener. Called
    /// once, before the store is opened; one that can wait for its upstream does nothing here.
    ///
    /// # Errors
    ///
    /// The engine does not start with it.
    fn prepare(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// Asks whether its upstream would have it with these settings, and where what it reads begins
    /// and ends. Takes nothing, acknowledges nothing, and leaves a session of another process with
    /// the same settings alone. One that has nothing to ask says that it is there.
    ///
    /// # Errors
    ///
    /// Why a session would not begin.
    fn reach(&mut self) -> impl Future<Output = Result<Reached, ConnectorError>> + Send {
        std::future::ready(Ok(Reached::default()))
    }

    /// Runs one session until `Stop`, an error, or the end of the upstream. After a retryable error
    /// it is called again with a fresh link, so that a receipt of an old session can never
    /// acknowledge anything in a new one.
    fn run(&mut self, link: Link) -> impl Future<Output = Result<(), ConnectorError>> + Send;
}

/// What an upstream answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Whether there was anybody to ask.
    pub asked: bool,
    /// Partitions with positions, if it has such.
    pub partitions: Vec<PartitionEnds>,
    /// What a person should know: a session begins all the same.
    pub warnings: Vec<String>,
}

/// Where a partition begins and ends at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEnds {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The oldest position that is there.
    pub first: u64,
    /// The position that the next message gets.
    pub next: u64,
}

/// A connector in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorAbout {
    /// Its kind, as `type` in the file names it.
    pub kind: &'static str,
    /// Where it listens or connects to, without secrets.
    pub address: Option<String>,
}

impl Default for ConnectorAbout {
    fn default() -> Self {
        Self { kind: "custom", address: None }
    }
}

/// What a connector promises for a message that it acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// Positions are stored with the state: exactly once on state.
    ExactlyOnce,
    /// Unacknowledged messages come again; exactly once where they carry an id.
    #[default]
    AtLeastOnce,
}

/// What the engine must know of a connector before it makes its links.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectorInfo {
    /// How payloads are meant.
    pub format: Format,
    /// Whether its upstream waits for each message's own outcome.
    pub answers: bool,
    /// How long ids of messages are remembered; `None`: ids are ignored.
    pub dedupe_keep_secs: Option<u64>,
    /// What it promises.
    pub guarantee: Guarantee,
    /// Seconds until unconfirmed feedback is given up; `None`: 3,600.
    pub feedback_expiry_secs: Option<u64>,
    /// Milliseconds that a stop waits for confirmations; `None`: 10,000.
    pub drain_timeout_ms: Option<u64>,
}

/// A connector that the configuration file can name.
pub trait ConfigurableConnector: Connector + Sized {
    /// The value of `type` in the file.
    const TYPE: &'static str;
    /// One line for `twinflow connectors list`.
    const ABOUT: &'static str;
    /// What it promises, for `twinflow connectors list`; [`Connector::info`] says it of one.
    const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
    /// The table's keys beside the reserved ones; unknown keys are refused.
    type Settings: DeserializeOwned + schemars::JsonSchema;
    /// Checks what the user wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`](crate::error::ErrorKind::Misconfigured) with the sentence that
    /// the user needs.
    fn from_settings(settings: Self::Settings) -> Result<Self, ConnectorError>;
}

/// A list of connectors that a configuration can name.
pub trait Registry: Sized {
    /// Adds one.
    #[must_use]
    fn with<C: ConfigurableConnector>(self) -> Self;
}
