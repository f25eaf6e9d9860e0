//! Where the time of a message goes, stage by stage, seen from outside: this program once more,
//! under `perf record`, and what each sample was in, beside the budget of the hot path.
//!
//! Estimate: two thousand samples a second of each thread make a second of a run 1 % slower;
//! looking up a few thousand addresses takes some seconds. 1 % of a run is 3-5 ns a message.
//!
//! The program that is looked at is the one that is measured: nothing is added to it but tables of
//! lines (`--profile profiling` of cargo), which are not read while it runs.

mod lines;
mod samples;
mod stages;

use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use self::stages::{BUDGETS, Stage};
use crate::Result;
use crate::args::Options;
use crate::result::{print_pairs, three_places};

/// Samples a second; not a round number, so that nothing that repeats keeps step with it.
const SAMPLES_PER_SECOND: &str = "1997";
/// What a profile takes when nobody says how many messages: ten seconds and not half of one.
const PASSES: u64 = 10;

/// One stage.
#[derive(Clone, Debug, Serialize)]
struct Line {
    profile: bool,
    workload: &'static str,
    workers: u64,
    stage: &'static str,
    /// Processor time over all threads.
    #[serde(serialize_with = "three_places")]
    ns_a_message: f64,
    budget_ns: &'static str,
}

/// What is read of the line that the program under `perf` prints.
#[derive(Debug, Deserialize)]
struct Run {
    system: String,
    messages: u64,
}

/// Runs `workload` once more under `perf` and prints a line for each stage.
///
/// # Errors
///
/// No `perf`, none that may look, and a program without tables of lines.
pub fn run(workload: &'static str, options: &Options) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("perf.data");
    let program = std::env::current_exe()?;
    eprintln!("once more, under perf record");
    let messages = record(&program, &data, workload, options)?;
    let script = script(&data)?;
    let samples = samples::parse(&script, &program.to_string_lossy())?;
    let lines = lines::look_up(&program, &samples)?;
    let mut nanos = [0_u64; BUDGETS.len()];
    for sample in &samples {
        if let Some(stage) = stages::of(sample, &lines) {
            nanos[stage as usize] += sample.nanos;
        }
    }
    let total = nanos.iter().sum::<u64>();
    if total == 0 {
        return Err("perf took no sample of the engine: hand over more messages".into());
    }
    for ((stage, budget_ns), nanos) in BUDGETS.iter().zip(nanos) {
        print(workload, options, stage.name(), nanos, messages, budget_ns);
    }
    print(workload, options, "all", total, messages, "");
    Ok(())
}

fn print(
    workload: &'static str,
    options: &Options,
    stage: &'static str,
    nanos: u64,
    messages: u64,
    budget_ns: &'static str,
) {
    let (ns_a_message, workers) = (nanos as f64 / messages as f64, options.workers);
    let line = Line { profile: true, workload, workers, stage, ns_a_message, budget_ns };
    if options.json {
        print_pairs(&line, true);
    } else {
        println!("{stage:<42} {ns_a_message:>7.1} ns a message   budget {budget_ns}");
    }
}

/// Runs this program under `perf`; gives how many messages it handled.
fn record(program: &Path, data: &Path, workload: &str, options: &Options) -> Result<u64> {
    let mut arguments = options.arguments(workload);
    if options.messages.is_none() && options.passes.is_none() && workload != "w3" {
        arguments.extend(["--passes".into(), PASSES.to_string()]);
    }
    let output = perf("record")
        .args(["--quiet", "-F", SAMPLES_PER_SECOND, "-g", "-o"])
        .arg(data)
        .arg("--")
        .arg(program)
        .args(arguments)
        .args(["--system", "twinflow", "--runs", "1", "--json"])
        .stderr(Stdio::piped())
        .output()
        .map_err(absent)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("perf record ended with {}: {}", output.status, why.trim()).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut runs = text.lines().filter_map(|line| serde_json::from_str::<Run>(line).ok());
    let run = runs.find(|run| run.system == "twinflow");
    Ok(run.ok_or("the program under perf printed no line of the engine")?.messages)
}

/// The samples as text.
fn script(data: &Path) -> Result<String> {
    let output = perf("script")
        .arg("-i")
        .arg(data)
        .args(["-F", "comm,period,ip,sym,dso"])
        .output()
        .map_err(absent)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("perf script ended with {}: {}", output.status, why.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn perf(verb: &str) -> Command {
    let mut command = Command::new("perf");
    command.arg(verb).stdin(Stdio::null());
    command
}

fn absent(error: std::io::Error) -> crate::Error {
    format!("--profile needs perf, which Debian has as linux-perf: {error}").into()
}

impl Stage {
    /// Its name in lines.
    fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge: copy into the row, hash, links",
            Self::Source => "source, exchange, epochs",
            Self::Timely => "timely",
            Self::Group => "grouping and call",
            Self::Decode => "decode",
            Self::Function => "the function itself",
            Self::Encode => "encode",
            Self::Commit => "persist, commit, send, acknowledge",
            Self::Log => "log",
            Self::Other => "what fits no stage",
        }
    }
}
