//! What takes part in a benchmark: the limit and the engine.
//!
//! Estimate: one virtual call a run, nothing a message.

use std::net::SocketAddr;

use crate::Result;
use crate::check::Check;
use crate::data::DataSet;
use crate::latency::Histogram;
use crate::meter::Usage;

/// A throughput workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// JSON, count and threshold.
    W1,
    /// Opaque bytes.
    W2,
}

/// How durable an engine keeps its twins during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Durable {
    /// Not at all.
    #[default]
    Off,
    /// Each epoch is synced.
    EveryEpoch,
    /// What a second brings is synced together.
    EverySecond,
}

/// How the engine's W1 reads its messages. The limit always reads them by `serde_json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MessageKind {
    /// By serde.
    #[default]
    Serde,
    /// As a declared type, `#[derive(TwinMessage)]`.
    Declared,
}

/// One run of one system, counted from the first record handed over to the last output.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Clock, processor and memory.
    pub usage: Usage,
    /// How many messages were handled.
    pub messages: u64,
    /// The output check, where the workload has one.
    pub check: Option<Check>,
    /// From due (W3) or sent (REST) to handled or answered, where it was measured.
    pub latency: Option<Histogram>,
    /// From due to acknowledged (W3), where there is an acknowledgement.
    pub acknowledged: Option<Histogram>,
}

impl Measured {
    /// A run of which no more is known.
    pub fn new(usage: Usage, messages: u64) -> Self {
        Self { usage, messages, check: None, latency: None, acknowledged: None }
    }

    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.usage.seconds
    }
}

/// An HTTP server that runs until it is dropped and answers
/// `POST /v1/twins/{model}/{id}/messages`.
pub trait Server {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// The output check of all messages so far, if it applies W1.
    fn check(&self) -> Option<Check> {
        None
    }

    /// What its clients have to show.
    fn key(&self) -> Option<&str> {
        None
    }
}

/// A system that runs the workloads; runs of two of them alternate, and pairs give ratios.
///
/// There is one worker for each partition of a data set. Starting up and stopping belong outside
/// the [`Meter`](crate::meter::Meter) that an implementation starts and stops itself.
pub trait System {
    /// Its name in result lines.
    fn name(&self) -> &'static str;

    /// Handles all records of `data` as fast as it can.
    fn throughput(&self, workload: Workload, data: &DataSet) -> Result<Measured>;

    /// Handles the records of `data` as W1, `rate` of them due each second over all sources, and
    /// measures from due to handled.
    fn latency(&self, data: &DataSet, rate: u64) -> Result<Measured>;

    /// Starts a server on loopback that takes W1 messages.
    fn serve(&self, workers: usize) -> Result<Box<dyn Server>>;
}
