//! How long a killed engine takes until it answers again: every twin's state is written several
//! times, the engine is dropped where it is, and started again on the same directory.
//!
//! Estimate for a million twins of 300 bytes with three values each: reading and checking 1 GB from
//! the page cache 0.3 s, folding 3 million entries at 0.2 us 0.6 s, decoding a million states at
//! 0.4 us on two workers 0.2 s.

#![expect(clippy::print_stdout, reason = "results go to standard output")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::{Deserialize, Serialize};
use twinflow::connectors::memory::{Memory, MemoryBroker, MemoryMessage};
use twinflow::prelude::*;
use twinflow::{Commit, Engine};
use twinflow_bench::drain::PATIENCE;
use twinflow_bench::{Result, clock};

/// Messages on their way at a time while the log is filled.
const BATCH: u64 = 50_000;
const MODEL: &str = "blobs";

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
            let pass = message.payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            self.wrong.fetch_add(u64::from(blob.pass + 1 != pass), Ordering::Relaxed);
            blob.pass = pass;
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
    let dir = tempfile::tempdir()?;
    let broker = Memory::replayable(4).broker();
    let wrong = Arc::<AtomicU64>::default();
    let engine = start(args, dir.path(), &broker, &wrong)?;
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
    for run in 1..=args.runs {
        let log_bytes = bytes_in(dir.path())?;
        let begun = clock::now();
        let engine = start(args, dir.path(), &broker, &wrong)?;
        let started = begun.elapsed();
        broker.send_all([message(run as u64, args.passes + 1)]);
        sent += 1;
        acknowledged(&broker, sent)?;
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

fn report(run: usize, begun: Instant, started: Duration, log_bytes: u64) {
    println!(
        "run {run}: started after {:.3} s, first message acknowledged after {:.3} s; log {} MB",
        started.as_secs_f64(),
        clock::seconds_since(begun),
        log_bytes >> 20
    );
}

fn start(args: &Args, dir: &Path, broker: &MemoryBroker, wrong: &Arc<AtomicU64>) -> Result<Engine> {
    let processor = Fill { bytes: args.bytes, wrong: Arc::clone(wrong) };
    let memory = Memory::from(broker);
    Ok(Engine::builder()
        .state_dir(dir)
        .commit(Commit::EveryEpoch)
        .workers(args.workers)
        .model(MODEL, processor)
        .connection("blobs", memory)
        .start()?)
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
