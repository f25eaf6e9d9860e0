//! Reads the messages of W1 by `serde_json` and by the derive, in turn, and nothing else.
//!
//! Estimate: `serde_json` 225-255 ns a message of 100 bytes, the derive 60-90; it came out at 0.6
//! of `serde_json`.

#![expect(clippy::print_stdout, reason = "results go to standard output")]

use std::borrow::Cow;
use std::hint::black_box;
use std::process::ExitCode;

use clap::Parser;
use twinflow::operators::json;
use twinflow::prelude::*;
use twinflow_bench::data::{Amount, DataSet, Plan};
use twinflow_bench::draw::Distribution;
use twinflow_bench::meter::Meter;
use twinflow_bench::payload::Size;
use twinflow_bench::record::Format;
use twinflow_bench::{Result, w1};

/// How often each way is measured.
const ROUNDS: usize = 9;

/// Reads W1's messages in two ways.
#[derive(Debug, Parser)]
struct Args {
    /// Payload bytes: 100 or 500
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// How many messages
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
}

/// What [`w1::Reading`] is, declared.
#[derive(Debug, TwinMessage)]
struct Reading<'m> {
    ts: i64,
    #[serde(default)]
    seq: u64,
    value: f64,
    #[serde(default)]
    unit: Cow<'m, str>,
    #[serde(default)]
    status: Cow<'m, str>,
    #[serde(default)]
    src: Cow<'m, str>,
}

/// The same two fields and texts, so that both ways have to give them.
fn sum(ts: i64, seq: u64, value: f64, texts: [&str; 3]) -> u64 {
    let letters: usize = texts.iter().map(|text| text.len()).sum();
    (ts as u64).wrapping_add(seq).wrapping_mul(31) ^ value.to_bits().rotate_left(7) ^ letters as u64
}

fn by_serde(payload: &[u8]) -> Result<u64> {
    let r: w1::Reading<'_> = serde_json::from_slice(black_box(payload))?;
    Ok(sum(r.ts, r.seq, r.value, [&r.unit, &r.status, &r.src]))
}

fn declared(payload: &[u8]) -> Result<u64> {
    let r: Reading<'_> = json::from_slice(black_box(payload))?;
    Ok(sum(r.ts, r.seq, r.value, [&r.unit, &r.status, &r.src]))
}

/// Nanoseconds a message, and the sum over all messages.
fn round(data: &DataSet, read: fn(&[u8]) -> Result<u64>) -> Result<(f64, u64)> {
    let meter = Meter::start();
    let mut total = 0_u64;
    for partition in data.partitions() {
        for i in 0..partition.len() {
            total = total.wrapping_mul(31).wrapping_add(read(partition.record(i).1)?);
        }
    }
    Ok((meter.stop().seconds * 1e9 / data.len() as f64, total))
}

fn run(args: &Args) -> Result<()> {
    let data = DataSet::generate(&Plan {
        format: Format::Json,
        size: Size::of(args.bytes).ok_or("--bytes is 100 or 500")?,
        twins: 100_000,
        distribution: Distribution::Uniform,
        amount: Amount::Total(args.messages),
        sources: 1,
    });
    let (mut serde_ns, mut declared_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ns, expected) = round(&data, by_serde)?;
        serde_ns.push(ns);
        let (ns, total) = round(&data, declared)?;
        declared_ns.push(ns);
        if total != expected {
            return Err("the two ways read different values".into());
        }
    }
    serde_ns.sort_by(f64::total_cmp);
    declared_ns.sort_by(f64::total_cmp);
    let (serde, declared) = (serde_ns[ROUNDS / 2], declared_ns[ROUNDS / 2]);
    println!("serde_json {serde:.1} ns, declared {declared:.1} ns, ratio {:.2}", serde / declared);
    println!("least: serde_json {:.1} ns, declared {:.1} ns", serde_ns[0], declared_ns[0]);
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("extract: {error}");
            ExitCode::FAILURE
        }
    }
}
