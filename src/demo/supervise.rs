//! `--kill`: the engine as a child of this program, killed with SIGKILL and started again.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    At,
    check::{Checked, Moment, check},
    client::{Broken, Client},
    record::Record,
    screen::Killed,
};
use crate::error::{Error, ErrorKind, Result};

/// From one kill to the next.
const KILL_EVERY: Duration = Duration::from_secs(5);
/// How long an engine may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long the comparison after a start may wait for the engine.
const CHECK_PATIENCE: Duration = Duration::from_secs(4);
/// How long the child may take for its clean stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The child and what became of it.
pub(super) struct Supervised {
    program: PathBuf,
    dir: PathBuf,
    at: At,
    child: Child,
}

/// What the table shows of it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    kills: AtomicU64,
    is_up: AtomicBool,
    checked: Mutex<Option<Checked>>,
}

impl Shown {
    pub(super) fn now(&self) -> Killed {
        Killed {
            kills: self.kills.load(Ordering::Relaxed),
            checked: *self.checked.lock().expect("only set and copied"),
            is_up: self.is_up.load(Ordering::Relaxed),
        }
    }

    fn checked(&self, checked: Checked) {
        *self.checked.lock().expect("only set and copied") = Some(checked);
    }
}

impl Supervised {
    /// Starts the child; it answers a little later.
    pub(super) fn start(program: PathBuf, dir: PathBuf, at: At) -> Result<Self> {
        let child = spawn(&program, &dir, at)?;
        Ok(Self { program, dir, at, child })
    }

    /// Waits until the child answers.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let until = Instant::now() + START_LIMIT;
        let mut client = Client::new(self.at.address);
        loop {
            let answer = client.get("/readyz").await;
            if answer.is_ok_and(|response| response.status.is_success()) {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(|error| cannot("watch", error))?;
            if let Some(status) = ended {
                let what = format!("the engine ended by itself: {status}");
                return Err(Error::new(ErrorKind::Broken, what));
            }
            if Instant::now() >= until {
                let what = format!("the engine was not ready within {START_LIMIT:?}");
                return Err(Error::new(ErrorKind::Unavailable, what));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills and starts again, until it is dropped or something goes wrong. Dropped between two
    /// awaits, it leaves a child that runs.
    pub(super) async fn kill_again_and_again(
        &mut self,
        shown: &Shown,
        records: &[Arc<Record>],
    ) -> Result<()> {
        let mut kill = tokio::time::interval(KILL_EVERY);
        kill.tick().await;
        shown.is_up.store(true, Ordering::Relaxed);
        loop {
            kill.tick().await;
            self.kill()?;
            shown.kills.fetch_add(1, Ordering::Relaxed);
            shown.is_up.store(false, Ordering::Relaxed);
            self.child = spawn(&self.program, &self.dir, self.at)?;
            self.ready().await?;
            shown.is_up.store(true, Ordering::Relaxed);
            let checked = check(self.at.address, records, Moment::Running, CHECK_PATIENCE);
            tokio::select! {
                compared = checked => match compared {
                    Ok(checked) => shown.checked(checked),
                    // The comparison at the end does not give up so soon.
                    Err(error) => tracing::debug!(error, "no comparison this time"),
                },
                () = tokio::time::sleep(CHECK_PATIENCE) => {}
            }
        }
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(|error| cannot("kill", error))?;
        self.child.wait().map_err(|error| cannot("wait for", error))?;
        Ok(())
    }

    /// Asks for a clean stop and waits for it.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let until = Instant::now() + STOP_LIMIT;
        while Instant::now() < until {
            match self.child.try_wait().map_err(|error| cannot("watch", error))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let what = format!("the engine stopped with {status}");
                    return Err(Error::new(ErrorKind::Broken, what));
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        let what = format!("the engine did not stop within {STOP_LIMIT:?}");
        Err(Error::new(ErrorKind::Broken, what))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // After a clean stop there is nothing to kill.
        drop(self.kill());
    }
}

/// The child lives as long as the pipe that it reads: it never outlives this process. It has its
/// own process group, so that Ctrl-C reaches it only through this process.
fn spawn(program: &PathBuf, dir: &PathBuf, at: At) -> Result<Child> {
    let broker = at.broker.map(|broker| ["--broker".to_owned(), broker.to_string()]);
    Command::new(program)
        .arg("demo-engine")
        .arg("--state-dir")
        .arg(dir)
        .arg("--listen")
        .arg(at.address.to_string())
        .args(broker.into_iter().flatten())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| cannot("start", error))
}

fn cannot(what: &str, error: impl Into<Broken>) -> Error {
    Error::new(ErrorKind::Broken, format!("could not {what} the engine")).because(error)
}
