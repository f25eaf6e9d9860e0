//! Where a server has its files and its ports, and how long it lives.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    error::ServerError,
    process::{self, Process},
};

/// Where a server is and how long it stays.
#[derive(Clone, Debug)]
pub enum Place {
    /// A temporary folder and free ports; it ends with its value and with this process.
    Own,
    /// This folder and the ports of the server's documentation; it stays until [`end_all`].
    Fixed(PathBuf),
}

/// The folder of a [`Place`].
#[derive(Debug)]
pub(crate) enum Folder {
    Own(TempDir),
    Fixed(PathBuf),
}

impl Folder {
    pub(crate) fn of(place: &Place) -> Result<Self, ServerError> {
        match place {
            Place::Own => tempfile::Builder::new()
                .prefix("twinflow-server-")
                .tempdir()
                .map(Self::Own)
                .map_err(|error| ServerError::new(format!("make a temporary folder: {error}"))),
            Place::Fixed(path) => {
                let failed = |error| ServerError::io("make", path, &error);
                // Of an earlier run: the server that used it is not there any more.
                if path.exists() {
                    fs::remove_dir_all(path).map_err(failed)?;
                }
                fs::create_dir_all(path).map_err(failed)?;
                path.canonicalize().map(Self::Fixed).map_err(failed)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Fixed(path) => path,
        }
    }

    pub(crate) fn stays(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], ServerError> {
    let failed = |error| ServerError::new(format!("find a free port: {error}"));
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Tries with new ports when another process was faster with one of them.
pub(crate) fn with_free_ports<T>(
    start: impl Fn() -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    for _try in 0..4 {
        match start() {
            Err(error) if error.is_taken_port() => {}
            other => return other,
        }
    }
    start()
}

/// Ends every server that stays below `folder`, and says how many there were.
///
/// A server is one whose process still has the folder as its working directory; a number that now
/// belongs to another program is left alone. All are asked together, since the last node of a
/// cluster waits for the others; whoever is there after 15 s is killed.
///
/// # Errors
///
/// When a pid file cannot be read or removed, or a server is still there after all that.
pub fn end_all(folder: &Path) -> Result<usize, ServerError> {
    let mut files = Vec::new();
    find_pids(folder, &mut files);
    let mut running = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file);
        let text = text.map_err(|error| ServerError::io("read", file, &error))?;
        let home = file.parent().unwrap_or(folder).to_owned();
        running.extend(text.trim().parse().ok().map(|pid: u32| (pid, home)));
    }
    running.retain(|(pid, home)| belongs(*pid, home));
    let ended = running.len();
    for (name, patience) in [("TERM", 15), ("KILL", 15)] {
        for (pid, _) in &running {
            process::signal(*pid, name)?;
        }
        process::wait_until(Duration::from_secs(patience), || {
            running.retain(|(pid, home)| belongs(*pid, home));
            running.is_empty()
        });
    }
    if let Some((pid, _)) = running.first() {
        return Err(ServerError::new(format!("process {pid} does not end")));
    }
    for file in &files {
        fs::remove_file(file).map_err(|error| ServerError::io("remove", file, &error))?;
    }
    Ok(ended)
}

fn find_pids(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            find_pids(&path, files);
        } else if path.file_name().is_some_and(|name| name == process::PID_FILE) {
            files.push(path);
        }
    }
}

/// Whether the process runs in the folder.
fn belongs(pid: u32, folder: &Path) -> bool {
    let runs_in = fs::read_link(format!("/proc/{pid}/cwd"));
    runs_in.is_ok_and(|path| folder.canonicalize().is_ok_and(|folder| path == folder))
}

/// A server of which only the process is missing.
pub(crate) fn spawn(
    command: &[&str],
    folder: &Path,
    stays: bool,
    needs: &'static str,
) -> Result<Process, ServerError> {
    if stays {
        Process::start_and_leave(command, folder, needs)
    } else {
        Process::start(command, folder, folder, needs)
    }
}
