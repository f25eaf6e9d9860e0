//! States through the log: how many a second become durable when so many change between two waits,
//! and how many bytes are written for each byte of state.
//!
//! Estimate: a state costs 0.3-0.5 us in the worker and 0.3-1 us in the log's thread, and a wait
//! one sync of 0.2-1 ms: 1,000 states of 300 bytes take 1-2 ms, 50,000 take 40 ms. It is written
//! with 30 bytes of its own beside it, a group begins on a block of 4,096 bytes, and new segments
//! are filled with zeros before they are used: 1.3-2.5 bytes for one.

mod bursts;
mod cell;
mod file;
#[cfg(feature = "rocksdb")]
mod rocks;

use serde::Serialize;

use self::cell::{Cell, Measure};
use crate::Result;
use crate::args::StatesOptions;
use crate::latency::Histogram;
use crate::result::{Verdict, print_pairs, three_places, whole};

/// One measurement of one system.
#[derive(Clone, Debug, Serialize)]
struct Line {
    system: &'static str,
    workload: &'static str,
    /// States that change between two waits.
    changed: u64,
    state_bytes: u64,
    waits: u64,
    #[serde(serialize_with = "whole")]
    states_per_s: f64,
    #[serde(serialize_with = "three_places")]
    p50_ms: f64,
    #[serde(serialize_with = "three_places")]
    p99_ms: f64,
    #[serde(serialize_with = "three_places")]
    max_ms: f64,
    /// Bytes written for each byte of state.
    #[serde(serialize_with = "three_places")]
    write_amplification: f64,
    /// Its states a second over those of the plain file.
    #[serde(serialize_with = "three_places")]
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Summary {
    summary: bool,
    workload: &'static str,
    twins: u64,
    check: Verdict,
}

/// What a measurement has given.
#[derive(Debug)]
struct Measured {
    states: u64,
    seconds: f64,
    written: u64,
    waits: Histogram,
    right: bool,
}

/// Measures each number of changes at each size, with a plain file before it.
///
/// # Errors
///
/// A system that does not start, stop or answer.
pub fn run(options: &StatesOptions) -> Result<Verdict> {
    let mut check = Verdict::Ok;
    for &state_bytes in &options.bytes {
        for &changed in &options.changed {
            let cell = Cell {
                twins: options.twins.max(changed),
                changed,
                state_bytes,
                seconds: options.seconds,
                dir: options.dir.as_deref(),
            };
            let mut floor = None;
            for (system, measure) in SYSTEMS {
                eprintln!("{system}: {changed} states of {state_bytes} bytes");
                let measured = measure(&cell)?;
                if !measured.right {
                    check = Verdict::Wrong;
                }
                let rate = measured.states as f64 / measured.seconds;
                let floor = *floor.get_or_insert(rate);
                print_pairs(&line(system, &cell, &measured, rate / floor), options.json);
            }
        }
    }
    let (summary, workload, twins) = (true, "states", options.twins);
    print_pairs(&Summary { summary, workload, twins, check }, options.json);
    Ok(check)
}

/// The plain file first: it is what the others are divided by.
const SYSTEMS: &[(&str, Measure)] = &[
    ("plain-file", file::measure),
    ("twinflow", bursts::measure),
    #[cfg(feature = "rocksdb")]
    ("rocksdb", rocks::measure),
];

fn line(system: &'static str, cell: &Cell<'_>, measured: &Measured, ratio: f64) -> Line {
    let waits = measured.waits.figures();
    Line {
        system,
        workload: "states",
        changed: cell.changed,
        state_bytes: cell.state_bytes,
        waits: measured.waits.len(),
        states_per_s: measured.states as f64 / measured.seconds,
        p50_ms: waits.p50_us / 1e3,
        p99_ms: waits.p99_us / 1e3,
        max_ms: waits.max_us / 1e3,
        write_amplification: measured.written as f64
            / (measured.states * cell.state_bytes).max(1) as f64,
        ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Bench};
    use clap::Parser;

    #[test]
    fn every_system_keeps_what_it_was_given() {
        let words =
            "bench states --changed 50,700 --bytes 100,300 --twins 500 --seconds 0.2 --json";
        let Bench::States(options) = Args::try_parse_from(words.split(' ')).unwrap().bench else {
            panic!("it is states");
        };
        assert_eq!(run(&options).unwrap(), Verdict::Ok);
    }
}
