//! W4: what durable states cost, and the way back after SIGKILL.
//!
//! Estimate: durable states keep 0.7-0.9 of the rate (a state of 100 bytes and its frame are
//! written for nearly each message at full load). After a kill a process starts in 20 ms, reads the
//! log of a few seconds, 10-50 MB, in 20-50 ms and has what fell due meanwhile handled within the
//! next millisecond: 50-100 ms to the first output at 10,000 messages a second.
//!
//! The program that runs is the upstream: it holds the records and serves each when it is due, from
//! the position that it is asked for, as a log of a broker would. The engine is its child. Outputs
//! are written where they are made, in the processor, so that they come at least once.

mod engine;
mod life;
mod outputs;
mod upstream;

pub use self::engine::live;

use std::time::Duration;

use crate::Result;
use crate::args::{Systems, W4Options};
use crate::check::Check;
use crate::data::DataSet;
use crate::engine::Twinflow;
use crate::limit::Limit;
use crate::meter::Usage;
use crate::result::{Back, Ratio, ResultLine, Summary, Verdict, median};
use crate::system::{Durable, Measured, System, Workload};

use self::life::{Killed, Plan};
use self::outputs::Expected;

/// Runs both parts and prints their lines and the summary.
///
/// # Errors
///
/// A run that fails; a wrong check is a verdict of the summary.
pub fn run(w4: &W4Options) -> Result<Summary> {
    let options = &w4.options;
    if options.system == Systems::Limit {
        return Err("w4 compares the engine with itself: --system limit has nothing to run".into());
    }
    let durable = options.durable.unwrap_or(Durable::EverySecond);
    let data = options.data_set("w4")?;
    let mut summary = Summary::new("w4", usize::try_from(options.workers)?, options.twins);
    kept(w4, durable, &data, &mut summary)?;
    if w4.kill {
        kills(w4, durable, &data, &mut summary)?;
    }
    summary.print(options.json);
    Ok(summary)
}

/// The same records with durable states and without, in turn.
fn kept(w4: &W4Options, durable: Durable, data: &DataSet, summary: &mut Summary) -> Result<()> {
    let options = &w4.options;
    eprintln!("{} messages; expecting what one thread gives", data.len());
    let expected = Limit::expected(Workload::W1, data)?;
    let mut pairs = Vec::new();
    for number in 1..=options.runs {
        eprintln!("run {number} of {}", options.runs);
        let run = |durable| Twinflow::new(durable).throughput(Workload::W1, data);
        let (off, on) = (run(Durable::Off)?, run(durable)?);
        pairs.push((off.rate(), on.rate()));
        for (name, run) in [("memory-store", &off), ("durable", &on)] {
            report(w4, summary, name, run, Some(expected), "");
        }
    }
    summary.kept = Ratio::of_pairs(&pairs).map(Into::into);
    Ok(())
}

/// Prints the line of a run and judges its check.
fn report(
    w4: &W4Options,
    summary: &mut Summary,
    name: &str,
    run: &Measured,
    expected: Option<Check>,
    note: &str,
) {
    let right = run.check == expected;
    if !right {
        summary.check = Verdict::Wrong;
    }
    ResultLine::new(name, "w4", summary.twins, summary.workers, run)
        .with_note(if right { note } else { "wrong check" })
        .print(w4.options.json);
}

/// Kills, one after the other, each with a state directory of its own.
fn kills(w4: &W4Options, durable: Durable, data: &DataSet, summary: &mut Summary) -> Result<()> {
    let plan = Plan {
        workers: summary.workers,
        bytes: w4.options.bytes,
        durable,
        rate: w4.options.paced_rate(),
        kill_after: Duration::from_millis(w4.kill_after_ms),
    };
    eprintln!("expecting the outputs of {} messages", plan.messages());
    let expected = Expected::of(data, plan.messages_of_source())?;
    let (mut first, mut caught_up, mut back) = (Vec::new(), Vec::new(), Back::default());
    for number in 1..=w4.options.runs {
        let (runs, rate) = (w4.options.runs, plan.rate);
        eprintln!("kill {number} of {runs}: {} messages at {rate} a second", plan.messages());
        let killed = life::kill_once(&plan, data, &expected)?;
        let run = measured(&plan, &killed);
        report(w4, summary, "killed", &run, Some(expected.check()), &killed.note());
        first.push(killed.back.first_output_ms);
        caught_up.push(killed.back.caught_up_ms);
        back.lost += killed.back.lost;
        back.duplicates += killed.back.duplicates;
    }
    if back.lost > 0 {
        summary.check = Verdict::Wrong;
    }
    back.first_output_ms = median(&first).unwrap_or_default();
    back.caught_up_ms = median(&caught_up).unwrap_or_default();
    summary.back = Some(back);
    Ok(())
}

/// A kill as a run; time and memory are those of both lives.
fn measured(plan: &Plan, killed: &Killed) -> Measured {
    let Killed { seconds, cpu_s, peak_rss_mb, .. } = *killed;
    let run = Measured::new(Usage { seconds, cpu_s, peak_rss_mb }, plan.messages());
    Measured { check: Some(killed.check), ..run }
}
