//! Which functions of which files an address of the program is in, with those that the compiler has
//! put inside others.
//!
//! Estimate: `addr2line` of binutils reads the tables once, 1-3 s, 10,000 addresses in a second.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::samples::Sample;
use crate::Result;

/// A function and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) function: String,
    pub(super) file: String,
}

/// The places of each offset in the file, the innermost first.
pub(super) type Lines = HashMap<u64, Vec<Place>>;

/// Looks up all addresses of `samples` that are in `program`.
pub(super) fn look_up(program: &Path, samples: &[Sample]) -> Result<Lines> {
    let frames = samples.iter().flat_map(|sample| &sample.frames);
    let offsets: BTreeSet<u64> = frames.filter_map(|frame| frame.offset).collect();
    let moved = code_moved_by(&std::fs::read(program)?).ok_or("this program is no 64 bit ELF")?;
    let mut child = Command::new("addr2line")
        .args(["-a", "-f", "-i", "-C", "-e"])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("--profile needs addr2line, which binutils have: {error}"))?;
    let mut input = child.stdin.take().ok_or("a child has an input")?;
    let asked: Vec<u64> = offsets.iter().copied().collect();
    // On a thread of its own: both pipes are short.
    let writing = thread::spawn(move || {
        asked.iter().try_for_each(|offset| writeln!(input, "{:x}", offset + moved))
    });
    let output = child.wait_with_output()?;
    writing.join().expect("writing does not panic")?;
    let lines = parse(&String::from_utf8_lossy(&output.stdout), moved);
    let known = |place: &Place| place.file.ends_with(".rs");
    if !lines.values().flatten().any(known) {
        return Err("this program has no tables of lines: build it with `--profile profiling`, \
                    or with CARGO_PROFILE_RELEASE_DEBUG=line-tables-only"
            .into());
    }
    Ok(lines)
}

/// Reads what `addr2line` prints: an address, then a function and its line in turn.
fn parse(text: &str, moved: u64) -> Lines {
    let (mut all, mut open) = (Lines::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(address) = line.strip_prefix("0x") {
            let address = u64::from_str_radix(address, 16).unwrap_or_default();
            while lines.peek().is_some_and(|next| !next.starts_with("0x")) {
                let (Some(function), Some(place)) = (lines.next(), lines.next()) else { break };
                let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
                open.push(Place { function: function.to_owned(), file: file.to_owned() });
            }
            all.insert(address - moved, std::mem::take(&mut open));
        }
    }
    all
}

/// How far code stands in memory behind its place in the file, by the table of segments.
fn code_moved_by(elf: &[u8]) -> Option<u64> {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(elf.get(at..at + len)?);
        Some(u64::from_le_bytes(bytes))
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for segment in 0..count {
        let at = usize::try_from(table + segment * size).ok()?;
        let (kind, flags) = (number(at, 4)?, number(at + 4, 4)?);
        if kind == 1 && flags & 1 == 1 {
            return number(at + 16, 8)?.checked_sub(number(at + 8, 8)?);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_functions_come_first() {
        let text = "0x0000000000001010\na::inner\n/x/serde_json-1/de.rs:7\na::outer\n/x/b.rs:9\n\
                    0x0000000000001020\n??\n??:0\n";
        let lines = parse(text, 0x1000);
        let files: Vec<&str> = lines[&0x10].iter().map(|place| &*place.file).collect();
        assert_eq!(files, ["/x/serde_json-1/de.rs", "/x/b.rs"]);
        assert_eq!(lines[&0x10][1].function, "a::outer");
        assert_eq!(lines[&0x20], [Place { function: "??".into(), file: "??".into() }]);
    }

    #[test]
    fn this_very_program_is_read() {
        let program = std::env::current_exe().unwrap();
        let elf = std::fs::read(&program).unwrap();
        assert!(code_moved_by(&elf).is_some());
        assert_eq!(code_moved_by(b"#!/bin/sh"), None);
    }
}
