//! Bytes that nobody wrote, given to every parser (F18, S6): each ends in a value or an error.
//!
//! The targets and their seeds stand beside the parsers (`fuzz.rs` in each crate). Here seeds are
//! changed by a mutator with a seed of its own, the same on every run; `fuzz/` gives the same
//! targets to cargo-fuzz, which finds what this does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod listed;
mod mutate;

use std::{
    alloc::System,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use twinflow::{
    fuzz::{Target, bodies, run, targets},
    store::Random,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// All that one input may make a parser ask for, freed or not.
const MEMORY_MAX: usize = 256 << 20;

/// What a worker of timely or of tokio has; calls that nothing has optimised take eight times that.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 16 << 20 } else { 2 << 20 };

/// These take longer than the others.
const LARGE: [&str; 5] = ["config", "entries", "export", "keys_file", "segment"];

/// How much of it.
#[derive(Clone, Copy)]
struct Size {
    /// Inputs of each target.
    inputs: u64,
    /// The same of a large one.
    of_large: u64,
    /// The longest body of a request, and the longest of everything else.
    longest: (usize, usize),
}

/// Files of a released version: the segments of a log.
fn segments() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/log-1");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    segments.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds = (target.seeds)();
    match target.name {
        // The first blocks: what comes behind is more of the same.
        "segment" => seeds.extend(segments().iter().map(|it| it[..it.len().min(9000)].to_vec())),
        "entries" => seeds.extend(segments().iter().flat_map(|it| bodies(it)).take(30)),
        _ => {}
    }
    assert!(!seeds.is_empty(), "{} has nothing to begin with", target.name);
    seeds
}

/// Runs one input; what is wrong, if something is.
fn outcome(target: &Target, input: &[u8]) -> Result<(), String> {
    let region = Region::new(ALLOCATOR);
    let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let change = region.change();
    let grown = usize::try_from(change.bytes_reallocated).unwrap_or(0);
    let bytes = change.bytes_allocated + grown;
    if ended.is_err() {
        return Err("it panicked".into());
    }
    if bytes > MEMORY_MAX {
        return Err(format!("it asked for {bytes} bytes"));
    }
    Ok(())
}

fn check(target: &Target, what: &str, input: &[u8]) {
    if let Err(why) = outcome(target, input) {
        let shown = String::from_utf8_lossy(&input[..input.len().min(2000)]).into_owned();
        panic!("{} of {}, {} bytes: {why}: {shown:?}", what, target.name, input.len());
    }
}

/// Somewhere with as much room as the program has.
fn in_a_worker(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
}

fn all_parsers(size: Size) {
    in_a_worker(move || {
        for target in targets() {
            // Told before it begins: an overflow of the stack ends the process.
            println!("{}", target.name);
            let seeds = seeds(&target);
            let mut random = Random(18);
            seeds.iter().for_each(|seed| check(&target, "a seed", seed));
            let large = LARGE.contains(&target.name);
            for nth in 0..if large { size.of_large } else { size.inputs } {
                let mut input = seeds[random.below(seeds.len() as u64) as usize].clone();
                let other = &seeds[random.below(seeds.len() as u64) as usize];
                mutate::mutate(&mut random, &mut input, other);
                check(&target, &format!("input {nth}"), &input);
            }
        }
        for target in targets() {
            for (what, input) in mutate::bombs(target.name, size.longest) {
                println!("{}, {what}", target.name);
                check(&target, &what, &input);
            }
        }
    });
}

/// One test, since memory is counted for the whole process.
#[test]
fn f18_s6_whatever_they_are_given_all_parsers_end_in_a_value_or_an_error() {
    all_parsers(Size { inputs: 10_000, of_large: 1000, longest: (1 << 20, 128 << 10) });
    a_parser_that_believes_a_length_or_panics_is_seen();
}

#[test]
#[ignore = "cargo xtask faults parsers"]
fn full_f18_parsers() {
    all_parsers(Size { inputs: 500_000, of_large: 50_000, longest: (16 << 20, 1 << 20) });
}

/// The measure itself.
fn a_parser_that_believes_a_length_or_panics_is_seen() {
    let believes = |bytes: &[u8]| {
        let length = u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(length)));
    };
    let seeds = || vec![vec![9; 4]];
    let target = Target { name: "believes", files: &[], run: believes, seeds };
    assert_eq!(outcome(&target, &[9, 0, 0, 0]), Ok(()));
    assert!(outcome(&target, &[0, 0, 0, 0x7f]).unwrap_err().contains("2130706432 bytes"));
    assert_eq!(outcome(&target, b"abc"), Err("it panicked".into()));
    assert!(catch_unwind(|| run("no such target", b"")).is_err());
}
