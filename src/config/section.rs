//! `[server]` and `[state]`: what the user writes, and what was checked of it.

use std::{net::SocketAddr, num::NonZero, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Commit;

/// A key whose value cannot be used, and why.
#[derive(Debug)]
pub(crate) struct KeyProblem {
    pub(crate) key: &'static str,
    pub(crate) sentence: String,
}

impl KeyProblem {
    pub(crate) fn new(key: &'static str, sentence: impl Into<String>) -> Self {
        Self { key, sentence: sentence.into() }
    }
}

/// What the user writes under `[server]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenServer {
    /// Address of the API, the metrics, and the REST connections that have no `listen` of their
    /// own. Only loopback addresses until TLS and keys exist. Default `127.0.0.1:7700`.
    /// Since 0.1.0.
    pub(crate) listen: String,
    /// Worker threads; 0 is one less than the cores, at least 1. Default 0. Since 0.1.0.
    pub(crate) workers: usize,
    /// Milliseconds that a request to the API waits before it gets 504. Default 10000.
    /// Since 0.1.0.
    pub(crate) wait_ms: u64,
    /// Seconds in one call after which a worker counts as stalled and the process is ended, to be
    /// started again by its supervisor. Default 30. Since 0.1.0.
    pub(crate) stall_secs: u64,
}

impl Default for WrittenServer {
    fn default() -> Self {
        Self { listen: "127.0.0.1:7700".into(), workers: 0, wait_ms: 10_000, stall_secs: 30 }
    }
}

/// `[server]`, checked.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Worker threads, at least one.
    pub workers: NonZero<usize>,
    /// How long a request waits.
    pub wait: Duration,
    /// Seconds in one call after which a worker counts as stalled.
    pub stall_secs: u64,
}

/// Above this a number of workers is a typing error.
const WORKERS_MAX: usize = 1024;

impl TryFrom<WrittenServer> for ServerSettings {
    type Error = KeyProblem;

    fn try_from(written: WrittenServer) -> Result<Self, KeyProblem> {
        if written.workers > WORKERS_MAX {
            let sentence = format!("found {}, the most is {WORKERS_MAX}", written.workers);
            return Err(KeyProblem::new("workers", sentence));
        }
        if written.wait_ms == 0 {
            return Err(KeyProblem::new("wait_ms", "found 0, the least is 1"));
        }
        if written.stall_secs == 0 {
            return Err(KeyProblem::new("stall_secs", "found 0, the least is 1"));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers = NonZero::new(written.workers).or(NonZero::new(cores.saturating_sub(1)));
        Ok(Self {
            listen: address(&written.listen)?,
            workers: workers.unwrap_or(NonZero::<usize>::MIN),
            wait: Duration::from_millis(written.wait_ms),
            stall_secs: written.stall_secs,
        })
    }
}

fn address(listen: &str) -> Result<SocketAddr, KeyProblem> {
    let numeric = listen.replacen("localhost:", "127.0.0.1:", 1);
    let Ok(address) = numeric.parse::<SocketAddr>() else {
        let sentence = format!("\"{listen}\" is not an address and a port like \"127.0.0.1:7700\"");
        return Err(KeyProblem::new("listen", sentence));
    };
    if !address.ip().is_loopback() {
        let sentence = format!(
            "\"{listen}\" can be reached from other machines, and this version has neither TLS \
             nor keys; use a loopback address like \"127.0.0.1:{}\" behind a proxy that checks \
             its callers",
            address.port()
        );
        return Err(KeyProblem::new("listen", sentence));
    }
    Ok(address)
}

/// What the user writes under `[state]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenState {
    /// Directory of the log, made if it is missing. Default `state`. Since 0.1.0.
    pub(crate) dir: PathBuf,
    /// `log` keeps everything on this machine's disk; `memory` keeps nothing over a restart.
    /// `object` comes later. Default `log`. Since 0.1.0.
    pub(crate) store: String,
    /// When epochs are synced: `every-epoch`, or `every-second`: many share one sync, and
    /// acknowledgements wait for up to a second. Default `every-epoch`. Since 0.1.0.
    pub(crate) commit: String,
    /// Bytes of a log file, 1 MiB to 256 MiB. Default 67108864. Since 0.1.0.
    pub(crate) segment_bytes: u64,
}

impl Default for WrittenState {
    fn default() -> Self {
        Self {
            dir: "state".into(),
            store: "log".into(),
            commit: "every-epoch".into(),
            segment_bytes: 64 << 20,
        }
    }
}

/// Where state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A log on this machine's disk.
    Log,
    /// Nothing outlives the process.
    Memory,
}

/// `[state]`, checked.
#[derive(Clone, Debug)]
pub struct StateSettings {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Where state is kept.
    pub store: StoreKind,
    /// When the log is synced.
    pub commit: Commit,
    /// Bytes of a log file.
    pub segment_bytes: u64,
}

impl TryFrom<WrittenState> for StateSettings {
    type Error = KeyProblem;

    fn try_from(written: WrittenState) -> Result<Self, KeyProblem> {
        if written.dir.as_os_str().is_empty() {
            return Err(KeyProblem::new("dir", "the name of the directory is empty"));
        }
        let store = match written.store.as_str() {
            "log" => StoreKind::Log,
            "memory" => StoreKind::Memory,
            "object" => {
                let sentence =
                    "this version has no \"object\" store yet; use \"log\" or \"memory\"";
                return Err(KeyProblem::new("store", sentence));
            }
            other => {
                let sentence = format!("found \"{other}\", expected \"log\" or \"memory\"");
                return Err(KeyProblem::new("store", sentence));
            }
        };
        let commit = match written.commit.as_str() {
            "every-epoch" => Commit::EveryEpoch,
            "every-second" => Commit::EverySecond,
            other => {
                let sentence =
                    format!("found \"{other}\", expected \"every-epoch\" or \"every-second\"");
                return Err(KeyProblem::new("commit", sentence));
            }
        };
        let (least, most, found) = (1 << 20, 256 << 20, written.segment_bytes);
        if !(least..=most).contains(&found) {
            let sentence = format!("found {found}, expected {least} (1 MiB) to {most} (256 MiB)");
            return Err(KeyProblem::new("segment_bytes", sentence));
        }
        Ok(Self { dir: written.dir, store, commit, segment_bytes: found })
    }
}
