//! What is read from files, and read again when they change: no restart for a new key or a new
//! certificate.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use crate::error::{ConnectorError, chain};

/// Milliseconds between two looks at the files.
const LOOK_EVERY_MS: u64 = 1000;

const LOCK: &str = "never left half changed";

/// What tells one state of a file from another: time of change, length, node, mode.
type Stamp = Option<(i64, i64, u64, u64, u32)>;

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.mtime(), about.mtime_nsec(), about.len(), about.ino(), about.mode()))
}

/// A value that was read from files. It is looked after by those who use it, so no task is needed.
#[derive(Debug)]
pub(super) struct Reloaded<T> {
    files: Vec<PathBuf>,
    value: RwLock<Arc<T>>,
    started: Instant,
    /// Milliseconds since `started` of the last look.
    looked: AtomicU64,
    /// The files as they were read last, whether or not they could be used.
    seen: Mutex<Vec<Stamp>>,
}

impl<T> Reloaded<T> {
    /// Reads it the first time.
    pub(super) fn new(
        files: Vec<PathBuf>,
        read: impl FnOnce() -> Result<T, ConnectorError>,
    ) -> Result<Self, ConnectorError> {
        // Before they are read: what changes meanwhile is read once more.
        let seen = Mutex::new(files.iter().map(|file| stamp(file)).collect());
        let value = RwLock::new(Arc::new(read()?));
        Ok(Self { files, value, started: Instant::now(), looked: AtomicU64::new(0), seen })
    }

    /// The value as it was read last.
    pub(super) fn last(&self) -> Arc<T> {
        Arc::clone(&self.value.read().expect(LOCK))
    }

    /// The value, read again if a file has changed; one look a second is enough. While the files
    /// cannot be used the last good value counts, and the log says so.
    pub(super) fn get(&self, read: impl FnOnce(&T) -> Result<T, ConnectorError>) -> Arc<T> {
        if self.has_turn() {
            let stamps: Vec<_> = self.files.iter().map(|file| stamp(file)).collect();
            let mut seen = self.seen.lock().expect(LOCK);
            if *seen != stamps {
                *seen = stamps;
                let file = self.files[0].display();
                match read(&self.last()) {
                    Ok(value) => {
                        tracing::info!(%file, "read again");
                        *self.value.write().expect(LOCK) = Arc::new(value);
                    }
                    Err(error) => {
                        let error = chain(&error);
                        tracing::error!(%file, error, "what was read before counts on");
                    }
                }
            }
        }
        self.last()
    }

    fn has_turn(&self) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.looked.load(Ordering::Relaxed);
        now.saturating_sub(last) >= LOOK_EVERY_MS
            && self.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
