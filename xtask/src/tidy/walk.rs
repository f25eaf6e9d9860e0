//! Finds and reads the files that rules look at.

use std::fs;
use std::path::Path;

use super::source::{self, Source};
use crate::error::{Error, Result};

/// Folders that hold nothing written by hand.
const SKIPPED: &[&str] = &["target", "state"];

/// Hidden folders that belong to the repository all the same.
const HIDDEN: &[&str] = &[".cargo", ".ci", ".config"];

/// Every file under `root` that has a language, ordered by path.
///
/// # Errors
///
/// When a folder or file cannot be read, and when there are no sources at all: then the rules would
/// pass without having looked at anything.
pub(super) fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    visit(root, "", &mut sources)?;
    if !sources.iter().any(Source::is_rust) {
        return Err(Error::failed(format!("there are no Rust sources in '{}'", root.display())));
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn visit(root: &Path, folder: &str, sources: &mut Vec<Source>) -> Result<()> {
    let failed = |error| Error::failed(format!("read '{}': {error}", root.join(folder).display()));
    for entry in fs::read_dir(root.join(folder)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::failed(format!("a name in '{folder}' is not UTF-8")));
        };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if kind.is_dir() && !is_skipped(&name) {
            visit(root, &path, sources)?;
        } else if kind.is_file() && source::language(&path).is_some() {
            let text = fs::read_to_string(entry.path())
                .map_err(|error| Error::failed(format!("read '{path}': {error}")))?;
            sources.push(Source::new(&path, &text));
        }
    }
    Ok(())
}

fn is_skipped(folder: &str) -> bool {
    SKIPPED.contains(&folder) || (folder.starts_with('.') && !HIDDEN.contains(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_found_and_build_products_are_not() {
        let sources = sources(crate::cargo::root()).expect("this repository");
        let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        assert!(paths.contains(&"xtask/src/tidy/walk.rs"));
        assert!(paths.contains(&".cargo/config.toml"));
        assert!(!paths.iter().any(|path| path.starts_with("target/")));
    }

    #[test]
    fn a_folder_without_sources_is_an_error() {
        let docs = crate::cargo::root().join(".cargo");
        assert!(sources(&docs).is_err());
    }
}
