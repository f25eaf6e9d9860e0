//! The command line.
//!
//! Estimate: none; it is read before anything is measured.

mod verbs;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, value_parser};

pub use self::verbs::{
    GridOptions, GridWorkload, LifeOptions, MemoryOptions, StatesOptions, W4Options,
};
use crate::Result;
use crate::data::{Amount, DataSet, Plan};
use crate::draw::Distribution;
use crate::payload::Size;
use crate::record::{Format, MOST_TWINS};
use crate::system::{Durable, MessageKind};

/// Runs a workload on the engine and on its limit in turn. Results go to standard output.
#[derive(Clone, Debug, Parser)]
#[command(name = "twinflow-bench", version)]
pub struct Args {
    /// What to run.
    #[command(subcommand)]
    pub bench: Bench,
}

/// What can be run.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// JSON messages, count and threshold: throughput
    W1(Options),
    /// Opaque bytes: throughput
    W2(Options),
    /// The function of W1 at a fixed rate, open loop: latency from the moment a message was due
    W3(Options),
    /// W1 with durable states beside none; with `--kill` also the way back after SIGKILL
    W4(W4Options),
    /// Requests over connections that stay open, beside a bare handler
    Rest(Options),
    /// w1 and w2 over distributions, twins, sizes and workers, as one table of ratios
    Grid(GridOptions),
    /// What a twin costs while a million and more of them are made: memory, waits, idle processor
    Memory(MemoryOptions),
    /// States a second through the log, and what is written for them
    States(StatesOptions),
    /// One life of the engine that `w4 --kill` kills
    #[command(hide = true)]
    W4Life(LifeOptions),
}

/// Which systems take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Systems {
    /// The plain program without an engine
    Limit,
    /// The engine
    Twinflow,
    /// Both in turn, for ratios
    Both,
}

/// What messages come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Through {
    /// w3: HTTP requests to the REST connector; latency is from due to answered
    Rest,
    /// w1: a topic of Kafka that is full beforehand
    Kafka,
    /// w1: a session of MQTT that is full beforehand
    Mqtt,
}

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Worker threads, each with a source of its own
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=64))]
    pub workers: u64,
    /// Number of twins in a data set that is made
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=MOST_TWINS))]
    pub twins: u64,
    /// Payload bytes: 100 or 500
    #[arg(long, default_value_t = 100)]
    pub bytes: usize,
    /// How messages spread over twins
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub dist: Distribution,
    /// Takes the records of this file instead of making them
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Who runs
    #[arg(long, value_enum, default_value_t = Systems::Both)]
    pub system: Systems,
    /// How many runs of each system
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u64).range(1..))]
    pub runs: u64,
    /// Messages due a second: 10,000 for w3 and w4; rest answers as fast as it can without it
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Messages, the first of the data set: 2,000,000, half as many of 500 bytes, five seconds of
    /// w3, 50,000 requests
    #[arg(long, value_parser = value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub messages: Option<u64>,
    /// w1, w2, w4: how often the records are handed over, one pass behind the other: once, for w4
    /// twelve times
    #[arg(long, value_parser = value_parser!(u64).range(1..=10_000))]
    pub passes: Option<u64>,
    /// w1, w3: through a server and its real client, beside the bare client; `--connections` is
    /// how many
    #[arg(long, value_enum)]
    pub through: Option<Through>,
    /// w1: the broker; without it that of `cargo xtask servers up`
    #[arg(long, value_name = "HOST:PORT")]
    pub broker: Option<String>,
    /// rest: connections that stay open; kafka: consumers of the engine's connection
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    /// rest: each request shows a key, which the engine checks
    #[arg(long)]
    pub keyed: bool,
    /// How durable the engine keeps its twins: off, for w4 every-second
    #[arg(long, value_enum)]
    pub durable: Option<Durable>,
    /// w1, w2, w3: runs once more under `perf record` and prints where the time goes, stage by
    /// stage; it takes a build with `--profile profiling`
    #[arg(long)]
    pub profile: bool,
    /// w3, rest: draws the distribution of latencies into this directory
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// w1: how the engine reads its messages
    #[arg(long, value_enum, default_value_t = MessageKind::Serde)]
    pub message: MessageKind,
    /// Prints a JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Prints nothing: a cell of the grid has a line of its own.
    #[arg(skip)]
    pub quiet: bool,
}

impl Options {
    /// The command line that hands over the same records to an engine that is as durable.
    pub fn arguments(&self, workload: &str) -> Vec<String> {
        let (dist, durable) = (value(&self.dist), value(&self.durable_or_off()));
        let line = [
            ("--workers", Some(self.workers.to_string())),
            ("--twins", Some(self.twins.to_string())),
            ("--bytes", Some(self.bytes.to_string())),
            ("--dist", Some(dist)),
            ("--durable", Some(durable)),
            ("--data", self.data.as_ref().map(|path| path.display().to_string())),
            ("--rate", self.rate.map(|rate| rate.to_string())),
            ("--messages", self.messages.map(|messages| messages.to_string())),
            ("--message", Some(value(&self.message))),
            ("--passes", self.passes.map(|passes| passes.to_string())),
        ];
        let pairs = line.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        std::iter::once(workload.to_owned()).chain(pairs.flatten()).collect()
    }

    /// The rate of a paced run.
    pub fn paced_rate(&self) -> u64 {
        self.rate.unwrap_or(10_000)
    }

    /// How durable an engine is that nothing else is said of.
    pub fn durable_or_off(&self) -> Durable {
        self.durable.unwrap_or_default()
    }

    /// Makes or reads the data set of `workload`.
    pub fn data_set(&self, workload: &str) -> Result<DataSet> {
        let plan = self.plan(workload)?;
        let data = match &self.data {
            Some(path) => {
                eprintln!("reading {}", path.display());
                DataSet::read(path, &plan)?
            }
            None => {
                eprintln!("making {:?} of {} bytes", plan.amount, self.bytes);
                DataSet::generate(&plan)
            }
        };
        Ok(data.repeated(self.passes_of(workload)?))
    }

    /// How often the records of `workload` are handed over.
    fn passes_of(&self, workload: &str) -> Result<usize> {
        let default = match workload {
            "w4" => 12,
            _ => 1,
        };
        if self.passes.is_some() && !matches!(workload, "w1" | "w2" | "w4") {
            return Err(format!("--passes is for w1, w2 and w4, not for {workload}").into());
        }
        Ok(usize::try_from(self.passes.unwrap_or(default))?)
    }

    /// What the data set of `workload` is made of.
    fn plan(&self, workload: &str) -> Result<Plan> {
        let size = Size::of(self.bytes).ok_or("--bytes is 100 or 500")?;
        let sources = if workload == "rest" { 1 } else { self.workers };
        if self.twins < sources {
            return Err(format!("{sources} workers need as many twins at least").into());
        }
        let whole_file = if size == Size::Small { 2_000_000 } else { 1_000_000 };
        let amount = match workload {
            "w3" => {
                let messages = self.messages.unwrap_or(self.paced_rate() * 5);
                Amount::OfEachSource((messages / sources).max(1))
            }
            "rest" => Amount::Total(self.messages.unwrap_or(50_000)),
            _ => Amount::Total(self.messages.unwrap_or(whole_file)),
        };
        let format = if workload == "w2" { Format::Opaque } else { Format::Json };
        let distribution = self.dist;
        Ok(Plan { format, size, twins: self.twins, distribution, amount, sources })
    }
}

/// How a value is written on the command line.
pub(crate) fn value(of: &impl ValueEnum) -> String {
    let value = of.to_possible_value();
    value.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        let words = std::iter::once("twinflow-bench").chain(line.split(' '));
        match Args::try_parse_from(words).unwrap().bench {
            Bench::W1(options) | Bench::W2(options) | Bench::W3(options) => options,
            Bench::W4(w4) => w4.options,
            Bench::Rest(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_line_of_the_specification_is_understood() {
        let line = "w1 --workers 2 --twins 1000 --bytes 500 --dist zipf --durable every-second";
        let plan = options(line).plan("w1").unwrap();
        assert_eq!((plan.sources, plan.twins, plan.size), (2, 1000, Size::Large));
        assert_eq!(plan.amount, Amount::Total(1_000_000));
        assert_eq!(options(line).durable, Some(Durable::EverySecond));
    }

    #[test]
    fn a_paced_run_takes_as_many_of_each_source() {
        let plan = options("w3 --workers 2 --rate 1000 --messages 3001").plan("w3").unwrap();
        assert_eq!(plan.amount, Amount::OfEachSource(1500));
    }

    #[test]
    fn the_same_run_is_asked_for_again() {
        let line = "w1 --workers 2 --twins 7 --dist zipf --durable every-second --data a \
                    --message declared --passes 3";
        let first = options(line);
        let again = options(&first.arguments("w1").join(" "));
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
    }

    #[test]
    fn passes_are_for_throughput() {
        let passes = |line: &str| {
            let workload = line.split(' ').next().unwrap();
            options(line).passes_of(workload).map_err(|error| error.to_string())
        };
        assert_eq!([passes("w1"), passes("w4"), passes("w2 --passes 3")], [Ok(1), Ok(12), Ok(3)]);
        let refused = passes("w3 --passes 2").unwrap_err();
        assert_eq!(refused, "--passes is for w1, w2 and w4, not for w3");
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let error = |line| options(line).plan("w1").unwrap_err().to_string();
        assert_eq!(error("w1 --bytes 7"), "--bytes is 100 or 500");
        assert_eq!(error("w1 --workers 2 --twins 1"), "2 workers need as many twins at least");
    }
}
