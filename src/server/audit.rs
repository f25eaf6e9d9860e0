//! `audit.log` in the state directory: one JSON object a line for each change that somebody asked
//! for, each login that failed, and each change of a key. It is only ever appended to.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::Serialize;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};
use twinflow_connectors::rest::access::{Audited, KeyEntry, LoginFailed};

use crate::error::{Error, ErrorKind, Result};

/// Its name in the state directory.
pub(crate) const FILE: &str = "audit.log";

/// Bytes of a path that a line shows.
const WHAT_BYTES_MAX: usize = 2048;

/// One line. Absent: it does not apply, or nobody knows.
#[derive(Debug, Default, Serialize)]
struct Line<'l> {
    time: String,
    event: &'l str,
    /// Prefix of the key, or the user of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<SocketAddr>,
    what: &'l str,
    outcome: &'l str,
    /// Of the request, as its answer has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<&'l [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    twins: Option<&'l str>,
}

/// Who runs this program: a name in the environment is what anybody writes into it.
pub(crate) fn this_user() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// The log; the file is made with its first line.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Audit {
    /// The log in a state directory.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE), file: Mutex::default() }
    }

    /// A change that a request asked for, and the status that it got.
    pub(crate) fn request(&self, audited: &Audited, status: u16, id: &str) {
        let caller = audited.caller.as_ref();
        self.log(Line {
            event: "request",
            who: caller.map(|caller| caller.prefix().to_owned()),
            role: caller.map(|caller| caller.role().name()),
            from: audited.from,
            what: &audited.what,
            outcome: &status.to_string(),
            id: Some(id),
            ..Line::default()
        });
    }

    /// A login that failed.
    pub(crate) fn login_failed(&self, failed: &LoginFailed) {
        let LoginFailed { from, what, why } = failed;
        self.log(Line { event: "login", from: *from, what, outcome: why, ..Line::default() });
    }

    /// A change of a key by the command line.
    ///
    /// # Errors
    ///
    /// The line could not be written.
    pub(crate) fn key(&self, what: &str, user: String, key: &KeyEntry) -> Result<()> {
        let of_client = key.twins_of_client();
        let twins = of_client.as_ref().unwrap_or(&key.twins);
        let line = Line {
            event: "key",
            who: Some(user),
            what,
            outcome: "done",
            key: Some(&key.prefix),
            role: Some(key.role.name()),
            models: Some(&key.models),
            twins: Some(twins),
            ..Line::default()
        };
        self.write(line).map_err(|error| self.unwritten(error))
    }

    /// A change of a state directory without an engine.
    ///
    /// # Errors
    ///
    /// The line could not be written.
    pub(crate) fn change(&self, event: &str, user: String, what: &str) -> Result<()> {
        let line = Line { event, who: Some(user), what, outcome: "done", ..Line::default() };
        self.write(line).map_err(|error| self.unwritten(error))
    }

    fn unwritten(&self, error: io::Error) -> Error {
        let what = format!("could not write the audit log {}", self.path.display());
        Error::new(ErrorKind::Disk, what).because(error)
    }

    /// A line that is lost is said: what it tells of has happened.
    fn log(&self, line: Line<'_>) {
        let what = line.what.to_owned();
        if let Err(error) = self.write(line) {
            let file = self.path.display();
            tracing::error!(%error, %file, what, "the audit log cannot be written");
        }
    }

    fn write(&self, mut line: Line<'_>) -> io::Result<()> {
        let cut = line.what.floor_char_boundary(WHAT_BYTES_MAX);
        line.what = &line.what[..cut];
        // The library that writes the time into the log's lines.
        SystemTime
            .format_time(&mut Writer::new(&mut line.time))
            .map_err(|_| io::Error::other("this machine's clock has no time"))?;
        let mut text = serde_json::to_vec(&line).map_err(io::Error::other)?;
        text.push(b'\n');
        let mut file = self.file.lock().expect("never left half changed");
        let open = match &mut *file {
            Some(open) => open,
            none => none.insert(self.open()?),
        };
        // One write, so that lines of two processes do not mix.
        open.write_all(&text)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use serde_json::Value;
    use twinflow_connectors::rest::access::{Role, new_key};

    use super::*;

    #[test]
    fn s29_s30_lines_are_appended_to_a_file_of_ones_own() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("deep/state");
        let audit = Audit::new(&dir);
        assert!(!dir.exists(), "a server that nobody asks for a change writes nothing");
        let (secret, entry) = new_key([5; 37], Role::Ingest, vec!["m".into()], "a/*".into());
        audit.key("keys create", "uid 7".into(), &entry).unwrap();
        let failed = LoginFailed {
            from: Some("10.0.0.1:5".parse().unwrap()),
            what: format!("GET /\n\"{}", "\u{fc}".repeat(WHAT_BYTES_MAX)),
            why: "no",
        };
        Audit::new(&dir).login_failed(&failed);
        let text = std::fs::read_to_string(dir.join(FILE)).unwrap();
        assert!(!text.contains(&secret) && !text.contains(&entry.sha256), "{text}");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["key"], entry.prefix);
        assert_eq!((&lines[0]["who"], &lines[0]["twins"]), (&"uid 7".into(), &"a/*".into()));
        assert_eq!(lines[1]["from"], "10.0.0.1:5");
        assert!(lines[1]["what"].as_str().unwrap().starts_with("GET /\n\"\u{fc}"));
        assert!(lines[1]["what"].as_str().unwrap().len() <= WHAT_BYTES_MAX);
        let time = lines[1]["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(FILE))), (0o700, 0o600));
    }
}
