//! What a twin costs: memory while millions of them are made, the longest wait meanwhile, and the
//! processor that they take when nothing comes.
//!
//! Estimate: 64 bytes of state, 12 of id, a slot and its place in two tables: 110-140 bytes a twin.
//! A table of half a million entries that is made twice as large at once takes 10-50 ms; 64 small
//! ones that do so in turn 1 ms each. Idle twins cost nothing: no thread looks at them.

mod growing;
mod plain;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use twinflow::{ConnectionSettings, Engine};

use self::growing::{Growing, Schedule, Waits, new_twins};
use crate::args::MemoryOptions;
use crate::latency::Histogram;
use crate::rest::MODEL;
use crate::result::{Verdict, print_pairs, three_places, whole};
use crate::{Result, clock, meter, w1};

/// How long a memory is left alone before it is read.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the machine is watched for waits that are its own.
const WATCH: Duration = Duration::from_secs(3);
/// No step takes longer than this beyond its time.
const PATIENCE: Duration = Duration::from_secs(120);
const GIB: f64 = (1_u64 << 30) as f64;

/// Memory at one number of twins.
#[derive(Clone, Copy, Debug, Serialize)]
struct Point {
    workload: &'static str,
    twins: u64,
    #[serde(serialize_with = "whole")]
    rss_mb: f64,
    #[serde(serialize_with = "three_places")]
    bytes_a_twin: f64,
    /// From due to handled, of the twins since the point before.
    #[serde(serialize_with = "three_places")]
    wait_p99_ms: f64,
    #[serde(serialize_with = "three_places")]
    longest_wait_ms: f64,
}

#[derive(Debug, Serialize)]
struct Summary {
    summary: bool,
    workload: &'static str,
    workers: u64,
    twins: u64,
    /// The mean over all points, and the largest.
    #[serde(serialize_with = "three_places")]
    bytes_a_twin: f64,
    #[serde(serialize_with = "three_places")]
    bytes_a_twin_max: f64,
    /// Of the mean, what is not the state itself.
    #[serde(serialize_with = "three_places")]
    own_bytes_a_twin: f64,
    #[serde(serialize_with = "whole")]
    twins_per_gib: f64,
    #[serde(serialize_with = "three_places")]
    longest_wait_ms: f64,
    /// The most processor time of a worker from one call to the next: no twin took more to make.
    #[serde(serialize_with = "three_places")]
    longest_step_ms: f64,
    /// The longest wait of a thread that only naps, in the same minute.
    #[serde(serialize_with = "three_places")]
    floor_longest_wait_ms: f64,
    #[serde(serialize_with = "three_places")]
    idle_cpu_percent: f64,
    /// The same twins in the table of the limit.
    #[serde(serialize_with = "three_places")]
    plain_bytes_a_twin: f64,
    #[serde(serialize_with = "three_places")]
    plain_longest_insert_ms: f64,
    check: Verdict,
}

/// Makes the twins and prints a line at each step, and the summary.
///
/// # Errors
///
/// An engine that does not start, stop, or keep up at all.
pub fn run(options: &MemoryOptions) -> Result<Verdict> {
    eprintln!("{} twins in a plain table", options.twins);
    let plain = plain::table(options.twins)?;
    let floor = machine_waits();
    eprintln!("{} twins at {} a second in the engine", options.twins, options.rate);
    let schedule = Schedule::new(options)?;
    let (data, waits) = (new_twins(&schedule), Arc::<Waits>::default());
    let progress = data.progress();
    let processor = Growing { schedule, waits: Arc::clone(&waits) };
    let settings = ConnectionSettings { enabled: false, ..ConnectionSettings::default() };
    let engine = Engine::builder()
        .memory_store()
        .workers(schedule.workers)
        .model(MODEL, processor)
        .connection_with("new-twins", data, settings)
        .start()?;
    let start = clock::now();
    waits.start(start);
    progress.start_at(start.into());
    engine.handle().resume("new-twins");

    let (mut base, mut points, mut longest) = (0, Vec::new(), Histogram::default());
    for (twins, messages, due) in schedule.stops() {
        let limit = start + due + PATIENCE;
        while progress.acknowledged() < messages {
            if clock::now() > limit {
                return Err(format!("{twins} twins are not made in time: {progress:?}").into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(SETTLE);
        let (rss, of_step) = (meter::rss_bytes()?, waits.take());
        if twins == 0 {
            base = rss;
            continue;
        }
        longest.merge(&of_step);
        points.push(point(twins, rss.saturating_sub(base), &of_step));
        print_pairs(&points[points.len() - 1], options.json);
    }
    let idle = idle_percent(Duration::from_secs(options.idle_secs))?;
    let statistics = engine.handle().statistics();
    let right = statistics.models[0].twins == options.twins && waits.wrong() == 0;
    engine.stop()?;
    let mean = points.iter().map(|point| point.bytes_a_twin).sum::<f64>() / points.len() as f64;
    let summary = Summary {
        summary: true,
        workload: "memory",
        workers: options.workers,
        twins: options.twins,
        bytes_a_twin: mean,
        bytes_a_twin_max: points.iter().map(|point| point.bytes_a_twin).fold(0.0, f64::max),
        own_bytes_a_twin: mean - size_of::<w1::State>() as f64,
        twins_per_gib: GIB / mean,
        longest_wait_ms: longest.figures().max_us / 1e3,
        longest_step_ms: waits.longest_step().as_secs_f64() * 1e3,
        floor_longest_wait_ms: floor.figures().max_us / 1e3,
        idle_cpu_percent: idle,
        plain_bytes_a_twin: plain.bytes_a_twin,
        plain_longest_insert_ms: plain.longest_insert.as_secs_f64() * 1e3,
        check: if right { Verdict::Ok } else { Verdict::Wrong },
    };
    print_pairs(&summary, options.json);
    Ok(summary.check)
}

fn point(twins: u64, bytes: u64, waits: &Histogram) -> Point {
    let waits = waits.figures();
    Point {
        workload: "memory",
        twins,
        rss_mb: bytes as f64 / 1e6,
        bytes_a_twin: bytes as f64 / twins as f64,
        wait_p99_ms: waits.p99_us / 1e3,
        longest_wait_ms: waits.max_us / 1e3,
    }
}

/// What a thread waits that does nothing but nap.
fn machine_waits() -> Histogram {
    let mut waits = Histogram::default();
    let mut now = clock::now();
    let end = now + WATCH;
    while now < end {
        let due = now + clock::NAP;
        now = clock::nap_until(due, now);
        waits.record(now - due);
    }
    waits
}

/// Processor time of this process while it only waits, in percent of one core.
fn idle_percent(time: Duration) -> Result<f64> {
    // What was to be done for the last messages is done.
    thread::sleep(Duration::from_millis(500));
    let (start, before) = (clock::now(), meter::running_nanos()?);
    thread::sleep(time);
    let ran = meter::running_nanos()?.saturating_sub(before);
    Ok(ran as f64 / 1e7 / clock::seconds_since(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Bench};
    use clap::Parser;

    fn options(line: &str) -> MemoryOptions {
        match Args::try_parse_from(line.split(' ')).unwrap().bench {
            Bench::Memory(options) => options,
            other => panic!("{other:?}"),
        }
    }

    fn makes_3000_twins(workers: usize) {
        let line = format!(
            "bench memory --twins 3000 --step 1000 --rate 20000 --idle-secs 1 --json \
             --workers {workers}"
        );
        assert_eq!(run(&options(&line)).unwrap(), Verdict::Ok);
    }

    #[test]
    fn every_twin_is_made_once() {
        makes_3000_twins(1);
    }

    #[test]
    fn every_twin_is_made_once_by_two_workers() {
        makes_3000_twins(2);
    }

    #[test]
    fn a_busy_process_is_not_idle() {
        let busy = thread::spawn(|| {
            let end = clock::now() + Duration::from_millis(1_400);
            while clock::now() < end {}
        });
        assert!(idle_percent(Duration::from_millis(500)).unwrap() > 20.0);
        busy.join().unwrap();
    }
}
