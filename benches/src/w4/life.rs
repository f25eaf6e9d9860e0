//! Two lives of the engine: the first is killed in the middle, the second goes on from its state.
//!
//! Estimate: see [`crate::w4`]; a line of a child is read 20-50 us after it was written.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::engine::HANDLED;
use super::outputs::{Expected, Outputs};
use super::upstream::Upstream;
use crate::args::value;
use crate::check::Check;
use crate::data::DataSet;
use crate::result::Back;
use crate::system::Durable;
use crate::{Result, clock, meter};

/// How much longer than its messages fall due a life may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long ago a message was due that must have been handled when a life has caught up.
const BEHIND: Duration = Duration::from_millis(5);
/// Lines that were read and not looked at yet.
const LINES: usize = 4096;

/// What is done to the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) bytes: usize,
    pub(super) durable: Durable,
    /// Messages due a second over all sources.
    pub(super) rate: u64,
    /// From the moment the first message was due; as long again follows.
    pub(super) kill_after: Duration,
}

impl Plan {
    /// How many messages of each source fall due.
    pub(super) fn messages_of_source(&self) -> u64 {
        let seconds = 2.0 * self.kill_after.as_secs_f64();
        ((self.rate as f64 * seconds) as u64 / self.workers as u64).max(1)
    }

    /// How many messages fall due.
    pub(super) fn messages(&self) -> u64 {
        self.messages_of_source() * self.workers as u64
    }
}

/// What came of a kill.
#[derive(Debug)]
pub(super) struct Killed {
    pub(super) back: Back,
    /// The check of all outputs, each counted once.
    pub(super) check: Check,
    /// From the first message due to the last one handled.
    pub(super) seconds: f64,
    /// Processor time of both lives.
    pub(super) cpu_s: f64,
    pub(super) peak_rss_mb: f64,
}

impl Killed {
    /// In words.
    pub(super) fn note(&self) -> String {
        let Back { first_output_ms, caught_up_ms, lost, duplicates } = self.back;
        format!(
            "first output {first_output_ms:.1} ms, caught up {caught_up_ms:.1} ms after the kill, \
             lost {lost}, duplicates {duplicates}"
        )
    }
}

/// Lets the engine live, kills it, and lets it live again until all messages are handled.
pub(super) fn kill_once(plan: &Plan, data: &DataSet, expected: &Expected) -> Result<Killed> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("upstream");
    let upstream = Upstream::serve(data, plan.messages_of_source(), plan.rate, &socket)?;
    let (mut outputs, cpu) = (Outputs::default(), meter::children_cpu_seconds());

    let mut first = Life::begin(plan, dir.path(), &socket)?;
    let begun = clock::now();
    loop {
        let started = upstream.started();
        if started.is_some_and(|start| clock::now() >= start + plan.kill_after) {
            break;
        }
        first.hear(begun + plan.kill_after + PATIENCE, &mut |line, _| {
            outputs.add(line);
        })?;
    }
    let mut peak_rss_mb = meter::peak_rss_mb_of(first.child.id());
    let moment = clock::now();
    first.kill(&mut |line| {
        outputs.add(line);
    })?;
    upstream.forget();

    let mut second = Life::begin(plan, dir.path(), &socket)?;
    let (mut first_output, mut caught_up) = (None, None);
    let limit = moment + plan.kill_after + PATIENCE;
    loop {
        let handled = second.hear(limit, &mut |line, now| {
            if outputs.add(line) {
                first_output.get_or_insert(now);
            }
        })?;
        let Some((handled, now)) = handled.zip(upstream.base()).map(|((h, now), b)| (b + h, now))
        else {
            continue;
        };
        if now.checked_sub(BEHIND).is_some_and(|then| handled >= upstream.due(then)) {
            caught_up.get_or_insert(now);
        }
        if handled >= upstream.messages() {
            break;
        }
    }
    let start = upstream.started().ok_or("a life that ended had begun")?;
    let seconds = clock::seconds_since(start);
    peak_rss_mb = peak_rss_mb.max(meter::peak_rss_mb_of(second.child.id()));
    second.end(&mut |line| {
        outputs.add(line);
    })?;
    let after = |then: Option<Instant>, what: &str| {
        let then = then.ok_or_else(|| format!("the second life gave no {what}"))?;
        Ok::<_, crate::Error>((then - moment).as_secs_f64() * 1e3)
    };
    let back = Back {
        first_output_ms: after(first_output, "new output: it takes a higher rate")?,
        caught_up_ms: after(caught_up, "sign that it caught up")?,
        lost: outputs.lost(expected) + upstream.again(),
        duplicates: outputs.duplicates(),
    };
    let cpu_s = meter::children_cpu_seconds() - cpu;
    Ok(Killed { back, check: outputs.check(), seconds, cpu_s, peak_rss_mb })
}

/// A child that runs the engine.
struct Life {
    child: Child,
    lines: Receiver<(Vec<u8>, Instant)>,
}

impl Life {
    /// Starts this program once more, as the engine.
    fn begin(plan: &Plan, dir: &Path, socket: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("w4-life")
            .arg("--upstream")
            .arg(socket)
            .arg("--state-dir")
            .arg(dir.join("state"))
            .args(["--workers", &plan.workers.to_string(), "--durable", &value(&plan.durable)])
            .args(["--bytes", &plan.bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut from = BufReader::new(child.stdout.take().ok_or("a child has an output")?);
        let (to, lines) = sync_channel(LINES);
        thread::spawn(move || {
            let mut line = Vec::new();
            // A line that a kill cut off is none.
            while from.read_until(b'\n', &mut line).is_ok() && line.pop() == Some(b'\n') {
                if to.send((std::mem::take(&mut line), clock::now())).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits a little for a line: an output goes to `output`, a report of what was handled is given
    /// back.
    fn hear(
        &mut self,
        limit: Instant,
        output: &mut dyn FnMut(&[u8], Instant),
    ) -> Result<Option<(u64, Instant)>> {
        match self.lines.recv_timeout(Duration::from_millis(1)) {
            Ok((line, now)) => match line.strip_prefix(HANDLED.as_bytes()) {
                Some(count) => Ok(Some((std::str::from_utf8(count)?.parse()?, now))),
                None => {
                    output(&line, now);
                    Ok(None)
                }
            },
            Err(RecvTimeoutError::Timeout) if clock::now() > limit => {
                Err("the engine has not handled its messages in time".into())
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                Err(format!("the engine has ended with {status}").into())
            }
        }
    }

    /// Kills it with SIGKILL and reads what it had written.
    fn kill(mut self, output: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.read_rest(output);
        Ok(())
    }

    /// Lets it stop.
    fn end(mut self, output: &mut dyn FnMut(&[u8])) -> Result<()> {
        drop(self.child.stdin.take());
        self.read_rest(output);
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the engine has ended with {status}").into());
        }
        Ok(())
    }

    fn read_rest(&self, output: &mut dyn FnMut(&[u8])) {
        for (line, _) in &self.lines {
            if !line.starts_with(HANDLED.as_bytes()) {
                output(&line);
            }
        }
    }
}

impl Drop for Life {
    /// Nothing that a failed run started goes on.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_)))
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("the engine could not be ended: {error}");
        }
    }
}
