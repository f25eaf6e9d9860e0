//! The parent: starts the child, waits, passes signals on, starts it again.

use std::{
    os::{fd::OwnedFd, unix::process::CommandExt, unix::process::ExitStatusExt},
    process::{Child as Process, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    signal::unix::{self, SignalKind},
    time::Instant,
};

use super::{
    child::report_of,
    hand_over::{self, Listener, Note},
    history::{End, Generation, History, Next, STOPPED_AT_ONCE, Start},
};
use crate::{
    engine::Report,
    error::{Error, ErrorKind, Result},
};

/// A look at the child although no signal came, should one be lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs `first` as a child, and `again` when that died, until nothing is left to do; gives the exit
/// code of this process.
///
/// Call it on the main thread: the child ends with the thread that started it (law F3).
///
/// # Errors
///
/// The first child could not be started, or the operating system refuses to tell of signals.
pub(crate) fn supervise(first: Command, again: Command, listeners: Vec<Listener>) -> Result<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cannot("start its supervisor", error))?;
    runtime.block_on(async { Parent::new(first, again, listeners)?.run().await })
}

struct Parent {
    command: Command,
    /// What is started once the first child was.
    again: Option<Command>,
    listeners: Vec<Listener>,
    /// Signals that ask to stop, and the one that says that a child ended.
    stops: [unix::Signal; 2],
    ends: unix::Signal,
    began: Instant,
}

/// A running child and the parent's end of its socket.
struct Running {
    process: Process,
    reports: UnixStream,
    generation: Generation,
    /// Whether it was asked to stop.
    stopping: bool,
}

/// What the parent waits for.
enum Event {
    Stop(Signal),
    Look,
    Report(Report),
}

impl Running {
    fn hear(&mut self, report: Report, now: Duration) {
        match report {
            Report::Committed => self.generation.committed(now),
            Report::Final => self.generation.is_final = true,
        }
    }

    /// What it said just before its end.
    fn hear_last(&mut self, now: Duration) {
        let mut byte = [0];
        while matches!(self.reports.try_read(&mut byte), Ok(1)) {
            if let Some(report) = report_of(byte[0]) {
                self.hear(report, now);
            }
        }
    }
}

impl Parent {
    fn new(command: Command, again: Command, listeners: Vec<Listener>) -> Result<Self> {
        let listen = |kind| unix::signal(kind).map_err(|error| cannot("listen for signals", error));
        let stops = [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
        let ends = listen(SignalKind::child())?;
        Ok(Self { command, again: Some(again), listeners, stops, ends, began: Instant::now() })
    }

    async fn run(mut self) -> Result<i32> {
        let mut history = History::default();
        let (mut start, mut last) = (Start::default(), None);
        loop {
            let (generation, end) = match self.start(start, last) {
                Ok(running) => self.watch(running).await,
                Err(error) if last.is_none() => return Err(error),
                Err(error) => {
                    tracing::error!(error = error.report(), "the engine could not be started");
                    (Generation { start, ..Generation::default() }, End::NotStarted)
                }
            };
            match history.ended(&generation, end, self.began.elapsed()) {
                Next::Stop => return Ok(end.code()),
                Next::GiveUp => {
                    tracing::error!(
                        last = %end,
                        "five engines in five minutes ended without a commit, careful ones too; \
                         nothing is started any more: see what they said before they ended"
                    );
                    return Ok(end.code());
                }
                Next::Restart { after, start: next } => {
                    let (delay_ms, careful) = (after.as_millis() as u64, next.careful);
                    tracing::warn!(%end, delay_ms, careful, "the engine ended, starting it again");
                    if self.is_stopped_within(after).await {
                        return Ok(end.code());
                    }
                    (start, last) = (next, Some(end));
                }
            }
        }
    }

    /// Starts a child and hands over what it needs; one that ends before it has all of that is
    /// found by its end.
    fn start(&mut self, start: Start, last: Option<End>) -> Result<Running> {
        let socket = std::os::unix::net::UnixStream::pair();
        let (ours, theirs) = socket.map_err(|error| cannot("make a socket for", error))?;
        self.command.stdin(Stdio::from(OwnedFd::from(theirs))).process_group(0);
        let process = self.command.spawn().map_err(|error| cannot("start", error))?;
        // Else the command would keep the child's end of the socket.
        self.command.stdin(Stdio::null());
        if let Some(again) = self.again.take() {
            self.command = again;
        }
        let note = Note {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            parent: std::process::id(),
            careful: start.careful,
            suspect: last.filter(|_| start.suspect).map(|end| end.to_string()),
            ..Note::default()
        };
        if let Err(error) = hand_over::send(&ours, &note, &self.listeners) {
            tracing::debug!(%error, "the child did not take what was handed over");
        }
        let reports = ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours));
        let reports = reports.map_err(|error| cannot("watch", error))?;
        let generation = Generation { start, ..Generation::default() };
        Ok(Running { process, reports, generation, stopping: false })
    }

    /// Waits until the child has ended.
    async fn watch(&mut self, mut running: Running) -> (Generation, End) {
        let mut reads = true;
        loop {
            // A child that cannot be waited for is one that has gone.
            if let Some(status) = running.process.try_wait().unwrap_or(Some(ExitStatus::default()))
            {
                running.hear_last(self.began.elapsed());
                return (running.generation, end_of(status));
            }
            match self.event(&mut running.reports, &mut reads).await {
                Event::Look => {}
                Event::Report(report) => running.hear(report, self.began.elapsed()),
                Event::Stop(signal) if !running.stopping => {
                    running.stopping = true;
                    running.generation.is_final = true;
                    pass_on(&running.process, signal);
                }
                Event::Stop(_) => {
                    tracing::warn!("a second signal: the engine is ended at once");
                    drop(running.process.kill());
                    drop(running.process.wait());
                    return (running.generation, End::Code(STOPPED_AT_ONCE));
                }
            }
        }
    }

    async fn event(&mut self, reports: &mut UnixStream, reads: &mut bool) -> Event {
        let [interrupt, terminate] = &mut self.stops;
        let mut byte = [0];
        tokio::select! {
            _ = interrupt.recv() => Event::Stop(Signal::INT),
            _ = terminate.recv() => Event::Stop(Signal::TERM),
            _ = self.ends.recv() => Event::Look,
            () = tokio::time::sleep(LOOK_EVERY) => Event::Look,
            read = reports.read(&mut byte), if *reads => {
                // At the end there is nothing more to read: the child is about to end.
                *reads = matches!(read, Ok(1));
                report_of(byte[0]).filter(|_| *reads).map_or(Event::Look, Event::Report)
            }
        }
    }

    /// Waits before a restart; `true`: somebody asked to stop.
    async fn is_stopped_within(&mut self, time: Duration) -> bool {
        let [interrupt, terminate] = &mut self.stops;
        tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}

fn pass_on(process: &Process, signal: Signal) {
    if let Err(error) = kill_process(Pid::from_child(process), signal) {
        tracing::debug!(%error, "the child has ended before it could be told");
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Code(0),
    }
}

fn cannot(what: &str, error: impl Into<crate::error::Cause>) -> Error {
    Error::new(ErrorKind::Unavailable, format!("could not {what} the engine")).because(error)
}
