//! A directory for the twins that goes away with the demonstration.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::error::{Error, ErrorKind, Result};

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct StateDir(PathBuf);

impl StateDir {
    /// A new directory that only this user may read, where the system keeps temporary files.
    pub(super) fn new() -> Result<Self> {
        let number = crate::clock::random()?;
        let path = std::env::temp_dir().join(format!("twinflow-demo-{number:016x}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            let what = format!("could not make the directory \"{}\"", path.display());
            Error::new(ErrorKind::Disk, what).because(error)
        })?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_afterwards_with_what_is_in_it() {
        let dir = StateDir::new().unwrap();
        let path = dir.path().to_owned();
        fs::create_dir(path.join("log")).unwrap();
        fs::write(path.join("log").join("file"), "x").unwrap();
        assert_ne!(StateDir::new().unwrap().path(), path);
        drop(dir);
        assert!(!path.exists());
    }
}
