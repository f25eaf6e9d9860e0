//! The text of `perf script` as samples.
//!
//! Estimate: 100 bytes a frame, ten frames a sample, 100,000 samples: 100 MB, read in a second.

use crate::Result;

/// One sample: a thread, for how long it counts, and where it was, the innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) thread: String,
    pub(super) nanos: u64,
    pub(super) frames: Vec<Frame>,
}

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The symbol, as far as it is known.
    pub(super) symbol: String,
    /// The place in the file of the program that is looked at; none in libraries and the kernel.
    pub(super) offset: Option<u64>,
}

/// Reads all samples; frames of `program` keep their place.
pub(super) fn parse(script: &str, program: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for block in script.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let mut lines = block.lines().filter(|line| !line.trim().is_empty());
        let head = lines.next().unwrap_or_default().trim();
        let strange = || format!("perf script printed a line that is not known: {head:?}");
        let (thread, nanos) = head.rsplit_once(char::is_whitespace).ok_or_else(strange)?;
        let nanos = nanos.parse().map_err(|_| strange())?;
        let frames = lines.enumerate().filter_map(|(depth, line)| frame(line, depth, program));
        samples.push(Sample { thread: thread.trim().to_owned(), nanos, frames: frames.collect() });
    }
    Ok(samples)
}

/// A line `address symbol (file)`.
fn frame(line: &str, depth: usize, program: &str) -> Option<Frame> {
    let (address, rest) = line.trim().split_once(' ')?;
    let (symbol, file) = rest.rsplit_once(" (").unwrap_or((rest, ""));
    let offset = u64::from_str_radix(address, 16).ok()?;
    let of_program = file.strip_suffix(')') == Some(program);
    // A frame that called another one shows where it goes on: behind the call.
    let offset = of_program.then(|| offset.saturating_sub(u64::from(depth > 0)));
    Some(Frame { symbol: symbol.to_owned(), offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read() {
        let script = "timely:work-0    1001001 \n\t          ddc8bd a::{{closure}} (/tmp/b c)\n\
                      \t           891f5 start_thread (/usr/lib/libc.so.6)\n\n\
                      log 2     500 \n\t ffff8000 [unknown] ([kernel.kallsyms])\n\n";
        let samples = parse(script, "/tmp/b c").unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!((&*samples[0].thread, samples[0].nanos), ("timely:work-0", 1_001_001));
        let symbol = "a::{{closure}}".to_owned();
        assert_eq!(samples[0].frames[0], Frame { symbol, offset: Some(0xddc8bd) });
        assert_eq!(samples[0].frames[1].offset, None);
        assert_eq!(samples[1].thread, "log 2");
        assert!(parse("no number\n\n", "").is_err());
    }

    #[test]
    fn a_caller_is_looked_up_at_its_call() {
        let script = "t 1 \n\t 10 a (/p)\n\t 20 b (/p)\n";
        let offsets: Vec<_> =
            parse(script, "/p").unwrap()[0].frames.iter().map(|f| f.offset).collect();
        assert_eq!(offsets, [Some(0x10), Some(0x1f)]);
    }
}
