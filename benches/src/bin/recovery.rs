//! How long a killed engine takes until it answers again: every twin's state is written several
//! times, the engine is dropped where it is, and started again on the same directory.
//!
//! Estimate for a million twins of 300 bytes with three values each on two cores: copying 1.3 GB
//! out of the page cache 0.2 s, checking it 0.1 s, folding 4 million entries at 0.2 us 0.4 s,
//! decoding a million states at 0.6 us 0.3 s.

#![expect(clippy::print_stdout, reason = "results go to standard output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::{Deserialize, Serialize};
use twinflow::connectors::memory::{Memory, MemoryBroker, MemoryMessage};
use twinflow::prelude::*;
use twinflow::{Commit, ConnectionSettings, Engine, EngineBuilder};
use twinflow_bench::drain::PATIENCE;
use twinflow_bench::{Result, clock};

/// Messages on their way at a time while the log is filled.
const BATCH: u64 = 50_000;
const MODEL: &str = "blobs";
const FILLING: &str = "filling";
const LOOKING: &str = "looking";

/// Fills a log, drops the engine and measures the next start.
#[derive(Debug, Parser)]
struct Args {
    /// Number of twins
    #[arg(long, default_value_t = 1_000_000)]
    twins: u64,
    /// Bytes of a state
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// How often each state is written
    #[arg(long, default_value_t = 3)]
    passes: u64,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Starts that are measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Keeps the log here; one that a run with the same numbers left is not filled again
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A state of a given length that says which pass wrote it.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Blob {
    pass: u64,
    filler: String,
}

impl TwinModel for Blob {
    type Message<'m> = RawMessage<'m>;
}

struct Fill {
    bytes: usize,
    passes: u64,
    /// Calls that found another pass than the one before theirs.
    wrong: Arc<AtomicU64>,
}

impl MessageProcessor for Fill {
    type Model = Blob;

    fn process_messages(
        &self,
        _: &mut ProcessingContext<'_>,
        blob: &mut Blob,
        messages: Messages<'_, RawMessage<'_>>,
    ) -> ProcessingResult {
        for message in messages {
            // Without a pass it only looks.
            let pass = message.payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            let expected = pass.map_or(self.passes, |pass| pass - 1);
            self.wrong.fetch_add(u64::from(blob.pass != expected), Ordering::Relaxed);
            blob.pass = pass.unwrap_or(blob.pass);
        }
        if blob.filler.is_empty() {
            blob.filler = "x".repeat(self.bytes);
        }
        Ok(Outcome::Update)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recovery bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let own = tempfile::tempdir()?;
    let dir = args.dir.as_deref().unwrap_or(own.path());
    let wrong = Arc::<AtomicU64>::default();
    if !dir.join("twinflow-state").exists() {
        fill(args, dir, &wrong)?;
    }
    for run in 1..=args.runs {
        let log_bytes = bytes_in(dir)?;
        let memory = Memory::acknowledged(1);
        let broker = memory.broker();
        let begun = clock::now();
        let engine = builder(args, dir, &wrong)
            .connection_with(FILLING, Memory::replayable(4), off())
            .connection(LOOKING, memory)
            .start()?;
        let started = begun.elapsed();
        let twin = format!("twin-{run:07}");
        broker.send_all([MemoryMessage::new(MODEL, &twin, [])]);
        acknowledged(&broker, 1)?;
        report(run, begun, started, log_bytes);
        let twins = engine.handle().statistics().models[0].twins;
        if (twins, wrong.load(Ordering::Relaxed)) != (args.twins, 0) {
            return Err(format!("check: {twins} twins, {wrong:?} wrong states").into());
        }
        drop(engine);
    }
    println!("check ok: {} twins, each with its last state", args.twins);
    Ok(())
}

/// Writes every state several times, and drops the engine where it is.
fn fill(args: &Args, dir: &Path, wrong: &Arc<AtomicU64>) -> Result<()> {
    let memory = Memory::replayable(4);
    let broker = memory.broker();
    let engine = builder(args, dir, wrong)
        .connection(FILLING, memory)
        .connection_with(LOOKING, Memory::acknowledged(1), off())
        .start()?;
    let mut sent = 0;
    for pass in 1..=args.passes {
        for first in (0..args.twins).step_by(BATCH as usize) {
            let twins = first..args.twins.min(first + BATCH);
            sent += twins.end - twins.start;
            broker.send_all(twins.map(|twin| message(twin, pass)));
            acknowledged(&broker, sent.saturating_sub(BATCH))?;
        }
    }
    acknowledged(&broker, sent)?;
    drop(engine);
    Ok(())
}

fn off() -> ConnectionSettings {
    ConnectionSettings { enabled: false, ..ConnectionSettings::default() }
}

fn report(run: usize, begun: Instant, started: Duration, log_bytes: u64) {
    println!(
        "run {run}: started after {:.3} s, first message acknowledged after {:.3} s; log {} MB",
        started.as_secs_f64(),
        clock::seconds_since(begun),
        log_bytes >> 20
    );
}

fn builder(args: &Args, dir: &Path, wrong: &Arc<AtomicU64>) -> EngineBuilder {
    let Args { bytes, passes, .. } = *args;
    Engine::builder()
        .state_dir(dir)
        .commit(Commit::EveryEpoch)
        .workers(args.workers)
        .model(MODEL, Fill { bytes, passes, wrong: Arc::clone(wrong) })
}

fn message(twin: u64, pass: u64) -> MemoryMessage {
    MemoryMessage::new(MODEL, &format!("twin-{twin:07}"), pass.to_le_bytes())
}

fn acknowledged(broker: &MemoryBroker, count: u64) -> Result<()> {
    match broker.wait(PATIENCE, |broker| broker.acknowledged() >= count) {
        true => Ok(()),
        false => Err(format!("only {} of {count} are done", broker.acknowledged()).into()),
    }
}

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
