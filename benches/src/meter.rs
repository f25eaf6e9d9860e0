//! What a run took: wall clock, processor time and memory, from the first record handed over to
//! the last output accounted for.
//!
//! Estimate: reading `/proc` takes 20-50 us at each end of a run of half a second, outside the
//! clock; the kernel counts processor time in ticks of 10 ms, 2 % of such a run.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::{Result, clock};

/// The kernel's clock tick as `/proc` reports it, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A meter that runs.
#[derive(Debug)]
pub struct Meter {
    cpu: f64,
    start: Instant,
}

/// What a [`Meter`] has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Wall clock.
    pub seconds: f64,
    /// This process's own processor time.
    pub cpu_s: f64,
    /// The most memory this process held, the data set included.
    pub peak_rss_mb: f64,
}

impl Meter {
    /// Starts a meter; the peak of memory counts from here where the kernel allows it.
    pub fn start() -> Self {
        if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
            eprintln!("the memory peak counts from the start of the process: {error}");
        }
        Self { cpu: cpu_seconds(), start: clock::now() }
    }

    /// When the meter was started.
    pub fn started(&self) -> Instant {
        self.start
    }

    /// What was used since the start.
    pub fn stop(self) -> Usage {
        let seconds = clock::seconds_since(self.start);
        Usage { seconds, cpu_s: cpu_seconds() - self.cpu, peak_rss_mb: peak_rss_mb() }
    }
}

/// User and system time of this process so far, nought where there is no `/proc`.
fn cpu_seconds() -> f64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_of(&stat)).unwrap_or(0.0)
}

/// Fields 14 and 15 of `stat`.
fn cpu_of(stat: &str) -> Option<f64> {
    ticks_of(stat, 11)
}

/// Two fields of `stat` in seconds, counted behind the program's name, which may hold spaces.
fn ticks_of(stat: &str, skipped: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(skipped);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// Memory that this process holds now, in bytes.
pub fn rss_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(kilobytes(&status, "VmRSS:").ok_or("the kernel does not tell of memory")? * 1024)
}

/// Nanoseconds for which the threads of this process that still live have run.
pub fn running_nanos() -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread that has just ended is not counted.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let first = text.split(' ').next().ok_or("the kernel does not tell of threads")?;
        sum += first.parse::<u64>()?;
    }
    Ok(sum)
}

/// Processor time of the thread that asks: what it did not wait for.
pub fn thread_ran() -> Duration {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(ran).unwrap_or_default()
}

/// Bytes that this process has given to calls that write. The kernel's other number, `write_bytes`,
/// counts the whole of a large page of the cache for each byte that is written into it.
pub fn written_bytes() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.ok_or("the kernel does not tell of bytes written")?.parse()?)
}

/// User and system time of all ended children of this process.
pub fn children_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    stat.and_then(|stat| ticks_of(&stat, 13)).unwrap_or(0.0)
}

/// The most memory that another process has held so far, in millions of bytes.
pub fn peak_rss_mb_of(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok();
    status.and_then(|text| peak_of(&text)).unwrap_or(0.0)
}

/// The peak of memory in millions of bytes, nought where there is no `/proc`.
fn peak_rss_mb() -> f64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| peak_of(&text)).unwrap_or(0.0)
}

/// The line `VmHWM:  1234 kB`, whose unit is 1,024 bytes.
fn peak_of(status: &str) -> Option<f64> {
    Some(kilobytes(status, "VmHWM:")? as f64 * 1024.0 / 1e6)
}

/// The number of a line of `status`.
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0";
        assert_eq!(cpu_of(stat), Some(1.75));
        assert_eq!(ticks_of(stat, 13), Some(0.0));
        assert_eq!(cpu_of("nonsense"), None);
    }

    #[test]
    fn the_peak_is_read_in_megabytes() {
        assert_eq!(peak_of("VmPeak:\t9 kB\nVmHWM:\t    1000 kB\n"), Some(1.024));
    }

    #[test]
    fn a_run_uses_time_and_memory() {
        let usage = Meter::start().stop();
        assert!(usage.seconds >= 0.0 && usage.cpu_s >= 0.0);
        assert!(usage.peak_rss_mb > 0.0);
        assert!(rss_bytes().unwrap() > 100_000);
        assert!(running_nanos().unwrap() > 1_000);
        let ran = thread_ran();
        std::thread::sleep(Duration::from_millis(50));
        let napping = thread_ran() - ran;
        assert!(ran > Duration::ZERO && napping < Duration::from_millis(25), "{napping:?}");
        let dir = tempfile::tempdir().unwrap();
        let before = written_bytes().unwrap();
        fs::write(dir.path().join("a"), vec![7; 1 << 20]).unwrap();
        assert!(written_bytes().unwrap() >= before + (1 << 20));
    }
}
