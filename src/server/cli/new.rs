//! `twinflow new NAME`: a crate that runs, with a model, a test and a README.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::output::print;
use crate::error::{Error, ErrorKind, Result};

const CARGO: &str = include_str!("new/Cargo.toml.txt");
const LIB: &str = include_str!("new/lib.rs.txt");
const MAIN: &str = include_str!("new/main.rs.txt");
const README: &str = include_str!("new/README.md.txt");
const GITIGNORE: &str = "/target\n/state\n";

/// `twinflow new`
#[derive(Debug, Args)]
pub(super) struct New {
    /// Name of the crate, and of the directory that is made
    name: String,
    /// Use the twinflow in this directory instead of a released one
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Result<()> {
        if let Some(why) = name_error(&self.name) {
            let what = format!("\"{}\" cannot be the name of a crate: {why}", self.name);
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let (source, note) = self.source()?;
        let dir = Path::new(&self.name);
        fs::create_dir(dir).map_err(|error| cannot("make the directory", dir, error))?;
        let source_dir = dir.join("src");
        fs::create_dir(&source_dir).map_err(|error| cannot("make", &source_dir, error))?;
        let library = self.name.replace('-', "_");
        for (file, text) in [
            ("Cargo.toml", CARGO),
            ("src/lib.rs", LIB),
            ("src/main.rs", MAIN),
            ("README.md", README),
            (".gitignore", GITIGNORE),
        ] {
            let text = text
                .replace("@NAME@", &self.name)
                .replace("@LIBRARY@", &library)
                .replace("@SOURCE@", &source);
            let file = dir.join(file);
            fs::write(&file, text).map_err(|error| cannot("write", &file, error))?;
        }
        let name = &self.name;
        print(&format!("made {name}{note}\n\n  cd {name}\n  cargo test\n  cargo run\n"))
    }

    /// Where the new crate takes twinflow from, as a member of its dependency, and what to say.
    fn source(&self) -> Result<(String, String)> {
        let released = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
        let (dir, note) = match (&self.path, checkout()) {
            (Some(dir), _) => {
                if !is_twinflow(dir) {
                    let what = format!("\"{}\" has no twinflow to build with", dir.display());
                    return Err(Error::new(ErrorKind::Usage, what));
                }
                let full = dir.canonicalize();
                (full.map_err(|error| cannot("find", dir, error))?, String::new())
            }
            (None, Some(dir)) => {
                let note = format!(
                    ", with the twinflow that this program was built from:\n  {}",
                    dir.display()
                );
                (dir, note)
            }
            (None, None) => return Ok((released.into(), String::new())),
        };
        // TOML has the same escapes as Rust for what a path may hold.
        Ok((format!("path = {:?}", dir.display().to_string()), note))
    }
}

/// The checkout that this program was built from, if it is still there. What a package manager
/// unpacked has no repository around it.
fn checkout() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    (is_twinflow(&dir) && dir.join(".git").exists()).then_some(dir)
}

fn is_twinflow(dir: &Path) -> bool {
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| line.trim() == "name = \"twinflow\"")
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::AlreadyExists => ErrorKind::Usage,
        _ => ErrorKind::Disk,
    };
    Error::new(kind, format!("could not {what} \"{}\"", path.display())).because(error)
}

/// What cargo would refuse later and in more words.
fn name_error(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match name.chars().next() {
        None => Some("it is empty"),
        Some(first) if !first.is_ascii_alphabetic() => Some("it must begin with a letter"),
        _ if !name.chars().all(allowed) => Some("use a-z A-Z 0-9 _ -"),
        _ if ["test", "twinflow", "serde", "serde_json", "core", "std"].contains(&name) => {
            Some("the name is taken")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_refuses_are_refused() {
        for good in ["plant", "my-plant_2"] {
            assert_eq!(name_error(good), None, "{good}");
        }
        for bad in ["", "2plant", "my plant", "../plant", "twinflow", "a/b"] {
            assert!(name_error(bad).is_some(), "{bad}");
        }
    }
}
