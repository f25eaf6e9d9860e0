//! `keys.toml`: read if nobody else of the machine can read it, written as a whole.

use std::{
    fs::{File, OpenOptions, rename},
    io::{ErrorKind as IoKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::key::KeyEntry;
use crate::error::{ConnectorError, ErrorKind};

/// The widest mode of a file of keys.
pub const KEY_MODE: u32 = 0o600;

/// A file of keys is small; a larger one is something else.
const BYTES_MAX: u64 = 16 << 20;

const ABOUT: &str = "\
# Keys of twinflow, written by `twinflow keys`; it keeps no comments. A key itself stands nowhere.
";

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    keys: Vec<KeyEntry>,
}

/// Reads the entries of a file.
///
/// # Errors
///
/// [`ErrorKind::Misconfigured`]: the file is missing, is open to other users of the machine, or is
/// no file of keys.
pub fn read(path: &Path) -> Result<Vec<KeyEntry>, ConnectorError> {
    let cannot = |cause: std::io::Error| wrong(path, "it cannot be read").because(cause);
    let file = File::open(path).map_err(|cause| match cause.kind() {
        IoKind::NotFound => wrong(path, "there is none; make a first key: twinflow keys create"),
        _ => cannot(cause),
    })?;
    let about = file.metadata().map_err(cannot)?;
    let mode = about.mode() & 0o7777;
    if mode & !KEY_MODE != 0 {
        let why = format!("other users could use it (mode {mode:04o}): chmod 600");
        return Err(wrong(path, why));
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    parse(&text).map_err(|why| wrong(path, why))
}

/// The entries in a file's text; the error says what is wrong and on which line.
pub(super) fn parse(text: &str) -> Result<Vec<KeyEntry>, String> {
    let written: Written = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        // The error itself shows the line's text.
        format!("line {line}: {}", error.message())
    })?;
    Ok(written.keys)
}

/// Changes the entries of a file, which is made if it is missing; others see the old one or the
/// new one. Nobody else changes it meanwhile.
///
/// # Errors
///
/// As [`read`]; or the file cannot be written; or `change` refuses.
pub fn edit<T>(
    path: &Path,
    change: impl FnOnce(&mut Vec<KeyEntry>) -> Result<T, ConnectorError>,
) -> Result<T, ConnectorError> {
    let unfinished = Unfinished::make(path)?;
    let mut keys = if path.exists() { read(path)? } else { Vec::new() };
    let done = change(&mut keys)?;
    let text = toml::to_string(&Written { keys }).expect("entries are text");
    unfinished.finish(&format!("{ABOUT}\n{text}"))?;
    Ok(done)
}

/// The next version of a file, which goes away if it is not finished.
struct Unfinished<'p> {
    path: &'p Path,
    new: PathBuf,
    file: File,
}

impl<'p> Unfinished<'p> {
    fn make(path: &'p Path) -> Result<Self, ConnectorError> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(KEY_MODE).open(&new);
        let file = made.map_err(|cause| match cause.kind() {
            IoKind::AlreadyExists => wrong(
                path,
                format!("another change is under way; if none is, remove {}", new.display()),
            ),
            _ => wrong(path, "it cannot be written").because(cause),
        })?;
        Ok(Self { path, new, file })
    }

    fn finish(mut self, text: &str) -> Result<(), ConnectorError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .and_then(|()| rename(&self.new, self.path))
            .and_then(|()| File::open(parent.unwrap_or(Path::new(".")))?.sync_all());
        written.map_err(|cause| wrong(self.path, "it cannot be written").because(cause))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // After the rename it is not there any more.
        let _gone = std::fs::remove_file(&self.new).is_err();
    }
}

pub(super) fn wrong(path: &Path, why: impl std::fmt::Display) -> ConnectorError {
    let doing = format!("use the keys in {}: {why}", path.display());
    ConnectorError::new(ErrorKind::Misconfigured, doing)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::{
        super::{key::new_key, role::Role},
        *,
    };

    fn entry(byte: u8) -> KeyEntry {
        new_key([byte; 37], Role::Ingest, vec!["m".into()], "a/*".into()).1
    }

    #[test]
    fn s8_what_is_written_is_read_and_only_the_owner_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        assert!(read(&path).unwrap_err().to_string().contains("twinflow keys create"));
        for byte in [1, 2] {
            edit(&path, |keys| {
                keys.push(entry(byte));
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(read(&path).unwrap(), [entry(1), entry(2)]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        let text = fs::read_to_string(&path).unwrap();
        let (key, _) = new_key([1; 37], Role::Ingest, Vec::new(), String::new());
        assert!(!text.contains(&key) && !text.contains(key.rsplit_once('_').unwrap().1), "{text}");
        for mode in [0o640, 0o604, 0o660, 0o700] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
        }
    }

    #[test]
    fn a_change_that_is_refused_or_meets_another_leaves_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        edit(&path, |keys| {
            keys.push(entry(1));
            let second = edit(&path, |_| Ok(())).unwrap_err().to_string();
            assert!(second.contains("another change is under way"), "{second}");
            Ok(())
        })
        .unwrap();
        let refused = edit(&path, |keys| -> Result<(), _> {
            keys.clear();
            Err(wrong(&path, "no"))
        });
        refused.unwrap_err();
        assert_eq!(read(&path).unwrap(), [entry(1)]);
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_with_its_line_and_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        for text in ["[[keys]]\nprefix = \"a\"\nsecret = \"canary\"\n", "\n\nkeys = canary"] {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&path).unwrap().write_all(text.as_bytes()).unwrap();
            let error = crate::error::chain(&read(&path).unwrap_err());
            assert!(error.contains("line 3") && !error.contains("canary"), "{error}");
        }
    }
}
