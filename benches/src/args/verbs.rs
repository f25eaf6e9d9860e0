//! What single verbs are asked, beside what most of them have in common.
//!
//! Estimate: none; it is read before anything is measured.

use std::path::PathBuf;

use clap::{ValueEnum, value_parser};

use super::{Options, Systems};
use crate::draw::Distribution;
use crate::record::MOST_TWINS;
use crate::system::{Durable, MessageKind};

/// How to run W4.
#[derive(Clone, Debug, clap::Args)]
pub struct W4Options {
    /// What it has in common with the others.
    #[command(flatten)]
    pub options: Options,
    /// Also kills the engine with SIGKILL while messages fall due at `--rate`, and starts it again
    #[arg(long)]
    pub kill: bool,
    /// When it is killed, in milliseconds after the first message was due; as long again follows
    #[arg(long, default_value_t = 6_000, value_parser = value_parser!(u64).range(1..=600_000))]
    pub kill_after_ms: u64,
}

/// A workload of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GridWorkload {
    /// JSON messages
    W1,
    /// Opaque bytes
    W2,
}

/// What the grid is made of; each list is several values with commas.
#[derive(Clone, Debug, clap::Args)]
pub struct GridOptions {
    /// Workloads
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["w1", "w2"])]
    pub workloads: Vec<GridWorkload>,
    /// How messages spread over twins
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["uniform", "zipf"])]
    pub dists: Vec<Distribution>,
    /// Numbers of twins
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000],
          value_parser = value_parser!(u64).range(1..=MOST_TWINS))]
    pub twins: Vec<u64>,
    /// Payload bytes
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500])]
    pub bytes: Vec<usize>,
    /// Numbers of workers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2],
          value_parser = value_parser!(u64).range(1..=64))]
    pub workers: Vec<u64>,
    /// How many runs of each system
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u64).range(1..))]
    pub runs: u64,
    /// Messages: 2,000,000, half as many of 500 bytes
    #[arg(long, value_parser = value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub messages: Option<u64>,
    /// Draws the table into this directory
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// Prints a JSON object a line
    #[arg(long)]
    pub json: bool,
}

impl GridOptions {
    /// The options of one cell.
    pub fn options(&self, dist: Distribution, twins: u64, bytes: usize, workers: u64) -> Options {
        Options {
            workers,
            twins,
            bytes,
            dist,
            data: None,
            system: Systems::Both,
            runs: self.runs,
            rate: None,
            messages: self.messages,
            passes: None,
            through: None,
            broker: None,
            connections: 1,
            keyed: false,
            message: MessageKind::Serde,
            durable: None,
            profile: false,
            plots: None,
            json: self.json,
            quiet: true,
        }
    }
}

/// How to measure memory.
#[derive(Clone, Debug, clap::Args)]
pub struct MemoryOptions {
    /// How many twins are made
    #[arg(long, default_value_t = 5_000_000,
          value_parser = value_parser!(u64).range(1..=MOST_TWINS))]
    pub twins: u64,
    /// After how many new twins memory is read
    #[arg(long, default_value_t = 500_000, value_parser = value_parser!(u64).range(1..))]
    pub step: u64,
    /// New twins due a second
    #[arg(long, default_value_t = 200_000, value_parser = value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Worker threads, each with a source of its own
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=64))]
    pub workers: u64,
    /// Seconds for which the twins then lie idle
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(1..=600))]
    pub idle_secs: u64,
    /// Prints a JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// How to measure states.
#[derive(Clone, Debug, clap::Args)]
pub struct StatesOptions {
    /// States that change between two waits for the log, several numbers with commas
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 50_000],
          value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub changed: Vec<u64>,
    /// Bytes of a state, several numbers with commas
    #[arg(long, value_delimiter = ',', default_values_t = [100, 300, 1_000],
          value_parser = value_parser!(u64).range(32..=1_000_000))]
    pub bytes: Vec<u64>,
    /// How many twins take turns
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=MOST_TWINS))]
    pub twins: u64,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Where state directories are made, instead of the system's directory for temporary files
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Prints a JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// What a life is told by the program that holds its input.
#[derive(Clone, Debug, clap::Args)]
pub struct LifeOptions {
    /// The socket that serves the records
    #[arg(long)]
    pub upstream: PathBuf,
    /// The state directory
    #[arg(long)]
    pub state_dir: PathBuf,
    /// Worker threads, each with a source of its own
    #[arg(long)]
    pub workers: usize,
    /// Payload bytes: 100 or 500
    #[arg(long)]
    pub bytes: usize,
    /// How durable it keeps its twins
    #[arg(long, value_enum)]
    pub durable: Durable,
}
