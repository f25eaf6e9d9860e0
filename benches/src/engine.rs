//! The engine as one of the systems, through its public API and nothing else.
//!
//! Estimate: with an edge thread of its own a worker spends 60-75 ns a message beyond the function;
//! when edge and worker share a core, the copy into the row and the hash add 35-40 ns. Against a
//! limit of 0.33 us a message that is 0.8 with one worker and 0.7-0.75 with two on two cores.
//!
//! Outputs are counted where they are made, in the processor, and not from feedback: the limit
//! counts there too, and feedback would add to every run a way through outbox and connector that
//! the workload does not ask for. A call made twice, or not at all, would show as a wrong check.

#[cfg(any(feature = "kafka", feature = "mqtt"))]
mod broker;
mod declared;
mod due;
mod models;
mod records;
mod server;
mod stripes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use twinflow::connectors::memory::{BuffersProgress, MemoryBuffers};
use twinflow::connectors::message::Format;
use twinflow::operators::model::MessageProcessor;
use twinflow::{Commit, ConnectionSettings, Engine, EngineBuilder};

use self::declared::Declared;
use self::due::Due;
use self::models::{Counting, Opaque, Outputs};
use self::records::{Acknowledged, buffers, paced};
use self::server::EngineServer;
use crate::Result;
use crate::data::DataSet;
use crate::meter::{Meter, Usage};
use crate::rest::MODEL;
use crate::system::{Durable, Measured, MessageKind, Server, System, Workload};

/// The connection that hands over the records.
const CONNECTION: &str = "records";
/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// The engine that this harness was built with.
#[derive(Clone, Copy, Debug)]
pub struct Twinflow {
    durable: Durable,
    keyed: bool,
    message: MessageKind,
}

impl Twinflow {
    /// Its name in result lines.
    pub const NAME: &'static str = "twinflow";

    /// The engine, as durable as asked for.
    pub fn new(durable: Durable) -> Self {
        Self { durable, keyed: false, message: MessageKind::Serde }
    }

    /// The same, asking its REST clients for a key.
    #[must_use]
    pub fn keyed(self, keyed: bool) -> Self {
        Self { keyed, ..self }
    }

    /// The same, reading the messages of W1 in this way.
    #[must_use]
    pub fn message(self, message: MessageKind) -> Self {
        Self { message, ..self }
    }

    /// Starts an engine whose connection waits.
    fn prepare(
        self,
        processor: impl MessageProcessor,
        connector: MemoryBuffers,
        workers: usize,
    ) -> Result<Prepared> {
        let progress = connector.progress();
        let settings = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
        let (builder, dir) = store(Engine::builder(), self.durable)?;
        let engine = builder
            .workers(workers)
            .model(MODEL, processor)
            .connection_with(CONNECTION, connector, settings)
            .start()?;
        Ok(Prepared { engine, progress, _dir: dir })
    }
}

/// Chooses the store; a log's directory goes when the run is over.
fn store(builder: EngineBuilder, durable: Durable) -> Result<(EngineBuilder, Option<TempDir>)> {
    if durable == Durable::Off {
        return Ok((builder.memory_store(), None));
    }
    let dir = TempDir::new()?;
    Ok((store_in(builder, durable, dir.path()), Some(dir)))
}

/// Chooses the store; a log is in `dir`.
pub(crate) fn store_in(builder: EngineBuilder, durable: Durable, dir: &Path) -> EngineBuilder {
    let commit = match durable {
        Durable::Off => return builder.memory_store(),
        Durable::EveryEpoch => Commit::EveryEpoch,
        Durable::EverySecond => Commit::EverySecond,
    };
    builder.state_dir(dir).commit(commit)
}

/// A running engine that has not been given a record yet.
struct Prepared {
    engine: Engine,
    progress: BuffersProgress,
    _dir: Option<TempDir>,
}

impl Prepared {
    /// Hands over all records and waits until the last is acknowledged. `start` is told when the
    /// clock started.
    fn run(self, start: impl FnOnce(&BuffersProgress, std::time::Instant)) -> Result<Usage> {
        let meter = Meter::start();
        start(&self.progress, meter.started());
        self.engine.handle().resume(CONNECTION);
        if !self.progress.wait_acknowledged(PATIENCE) {
            return Err(format!("not done after {PATIENCE:?}: {:?}", self.progress).into());
        }
        let usage = meter.stop();
        let epochs = self.engine.stop()?.epochs.max(1);
        eprintln!("{} messages an epoch on average", self.progress.messages() / epochs);
        Ok(usage)
    }
}

impl System for Twinflow {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn throughput(&self, workload: Workload, data: &DataSet) -> Result<Measured> {
        let (outputs, workers) = (Arc::<Outputs>::default(), data.partitions().len());
        let prepared = match workload {
            Workload::W1 if self.message == MessageKind::Declared => {
                let processor = Declared { outputs: Arc::clone(&outputs) };
                self.prepare(processor, buffers(data), workers)?
            }
            Workload::W1 => {
                let processor = Counting { outputs: Arc::clone(&outputs), due: None };
                self.prepare(processor, buffers(data), workers)?
            }
            Workload::W2 => {
                let hex = data.partitions().iter().map(|part| part.with_hex_ids()).collect();
                let connector = buffers(&DataSet::of(hex)).with_format(Format::Bytes);
                self.prepare(Opaque { outputs: Arc::clone(&outputs) }, connector, workers)?
            }
        };
        let usage = prepared.run(|_, _| {})?;
        let check = Some(outputs.check());
        Ok(Measured { check, ..Measured::new(usage, data.len() as u64) })
    }

    fn latency(&self, data: &DataSet, rate: u64) -> Result<Measured> {
        let (outputs, workers) = (Arc::<Outputs>::default(), data.partitions().len());
        let (due, acknowledged) = (Arc::new(Due::new(data, rate)?), Arc::<Acknowledged>::default());
        let connector = paced(data, &due, &acknowledged);
        let processor = Counting { outputs: Arc::clone(&outputs), due: Some(Arc::clone(&due)) };
        let prepared = self.prepare(processor, connector, workers)?;
        let usage = prepared.run(|progress, moment| {
            due.start(moment);
            progress.start_at(moment.into());
        })?;
        Ok(Measured {
            check: Some(outputs.check()),
            latency: Some(outputs.latency()),
            acknowledged: Some(acknowledged.latency()),
            ..Measured::new(usage, data.len() as u64)
        })
    }

    fn serve(&self, workers: usize) -> Result<Box<dyn Server>> {
        Ok(Box::new(EngineServer::start(self.durable, workers, self.keyed)?))
    }
}
