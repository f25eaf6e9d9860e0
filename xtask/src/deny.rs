//! `cargo xtask deny`: what may be in the dependency tree.
//!
//! `deny.toml` is the one place where the policy is written, in the form that `cargo-deny` reads.
//! Licences, sources and duplicate versions are checked here, from what cargo itself reports, so
//! that the check runs on every machine; where `cargo-deny` is installed, it has its say as well.

mod license;
mod package;
mod policy;
mod rules;

use std::fs;

use crate::cargo;
use crate::error::{Error, Result};

/// Checks every package that some feature of the workspace can bring in.
///
/// # Errors
///
/// When a package breaks the policy, or `deny.toml` or cargo's answer cannot be read.
pub(crate) fn run() -> Result<()> {
    let path = cargo::root().join("deny.toml");
    let text = fs::read_to_string(&path)
        .map_err(|error| Error::failed(format!("read '{}': {error}", path.display())))?;
    let policy = policy::parse(&text)?;
    let metadata =
        cargo::output(&["metadata", "--format-version", "1", "--locked", "--all-features"])?;
    let packages = package::parse(&metadata)?;

    let problems = rules::check(&policy, &packages);
    for problem in &problems {
        println!("error: {problem}");
    }
    if !problems.is_empty() {
        let count = problems.len();
        return Err(Error::failed(format!("against deny.toml: {count}, listed above")));
    }
    println!("{} packages: licences, sources and versions as in deny.toml", packages.len());

    if cargo::has("deny") {
        return cargo::run(&["deny", "check", "licenses", "bans", "sources"], &[]);
    }
    println!("cargo-deny is not installed: this check was the only one");
    Ok(())
}
