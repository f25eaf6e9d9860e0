//! The upstream of both lives: a log for each source, whose records are served when they are due,
//! from any position.
//!
//! Estimate: a nap of 100 us and one write for what fell due meanwhile, 1 % of a core a source.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::data::DataSet;
use crate::record::Partition;
use crate::w3::Pace;
use crate::{Result, clock};

/// How long a source rests when nothing is due.
const NAP: Duration = Duration::from_micros(100);
/// Records of one write.
const WRITE_MAX: u64 = 4096;

/// The records and how far each life was with them.
#[derive(Debug)]
pub(super) struct Upstream {
    partitions: Vec<Partition>,
    /// How many messages there are of each source; they begin anew where the records end.
    messages: u64,
    rate: u64,
    /// When the first message was due: when the first life asked for it.
    start: OnceLock<Instant>,
    acknowledged: Vec<AtomicU64>,
    /// Where each source of the life that runs went on.
    asked: Mutex<Vec<Option<u64>>>,
    /// Acknowledged messages that were asked for again.
    again: AtomicU64,
}

impl Upstream {
    /// Serves the first `messages` of each source of `data` on a socket at `path`.
    pub(super) fn serve(
        data: &DataSet,
        messages: u64,
        rate: u64,
        path: &Path,
    ) -> Result<Arc<Self>> {
        let partitions = data.partitions().to_vec();
        let upstream = Arc::new(Self {
            acknowledged: partitions.iter().map(|_| AtomicU64::new(0)).collect(),
            asked: Mutex::new(vec![None; partitions.len()]),
            again: AtomicU64::new(0),
            start: OnceLock::new(),
            partitions,
            messages,
            rate,
        });
        let listener = UnixListener::bind(path)?;
        let serving = Arc::clone(&upstream);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = Arc::clone(&serving);
                thread::spawn(move || match stream.map(|stream| serving.session(stream)) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => eprintln!("a source has lost its life: {error}"),
                    Err(error) => eprintln!("a source could not be asked: {error}"),
                });
            }
        });
        Ok(upstream)
    }

    /// When the first message was due, once a life has asked for it.
    pub(super) fn started(&self) -> Option<Instant> {
        self.start.get().copied()
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> u64 {
        self.messages * self.partitions.len() as u64
    }

    /// How many were due at `moment`.
    pub(super) fn due(&self, moment: Instant) -> u64 {
        let Some(start) = self.started() else { return 0 };
        let elapsed = moment.saturating_duration_since(start).as_secs_f64();
        self.messages().min((elapsed * self.rate as f64) as u64 + 1)
    }

    /// Acknowledged messages that a life has asked for again: the engine lost them.
    pub(super) fn again(&self) -> u64 {
        self.again.load(Ordering::Acquire)
    }

    /// Where the life that runs went on, over all sources, once all have asked.
    pub(super) fn base(&self) -> Option<u64> {
        self.asked().iter().copied().sum()
    }

    /// The life that ran is over.
    pub(super) fn forget(&self) {
        self.asked().fill(None);
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Option<u64>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One source of one life.
    fn session(&self, stream: UnixStream) -> Result<()> {
        let mut back = BufReader::new(stream.try_clone()?);
        let (source, next) = (number(&mut back)?, number(&mut back)?);
        let source = usize::try_from(source)?;
        let partition = self.partitions.get(source).ok_or("there is no such source")?;
        if next > self.messages {
            return Err(format!("source {source} asked for message {next}").into());
        }
        let known = self.acknowledged[source].load(Ordering::Acquire);
        self.again.fetch_add(known.saturating_sub(next), Ordering::AcqRel);
        self.asked()[source] = Some(next);
        let start = *self.start.get_or_init(clock::now);
        let pace = Pace::new(start, self.rate, source, self.partitions.len());
        thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(up_to) = number(&mut back) {
                    self.acknowledged[source].fetch_max(up_to, Ordering::AcqRel);
                }
            });
            self.send(&stream, partition, next, pace);
        });
        Ok(())
    }

    /// Writes records as they fall due, until the life ends or there are no more.
    fn send(&self, mut stream: &UnixStream, partition: &Partition, mut next: u64, pace: Pace) {
        let mut bytes = Vec::new();
        while next < self.messages {
            let now = clock::now();
            bytes.clear();
            let last = self.messages.min(next + WRITE_MAX);
            while next < last && pace.due(next as usize) <= now {
                bytes.extend_from_slice(partition.line(next as usize % partition.len()));
                next += 1;
            }
            if bytes.is_empty() {
                thread::sleep(NAP);
            } else if stream.write_all(&bytes).is_err() {
                // That life was killed.
                return;
            }
        }
    }
}

fn number(from: &mut impl Read) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
