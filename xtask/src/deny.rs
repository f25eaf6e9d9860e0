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
    let default = linked("default")?;
    no_openssl(&default)?;
    nothing_unsound(&default)?;
    println!("no OpenSSL without the Kafka client, and no unsound decoder");

    if cargo::has("deny") {
        return cargo::run(&["deny", "check", "licenses", "bans", "sources"], &[]);
    }
    println!("cargo-deny is not installed: this check was the only one");
    Ok(())
}

/// Names of what `twinflow` links with these features.
fn linked(features: &str) -> Result<String> {
    let tree = ["tree", "--locked", "-p", "twinflow", "-e", "normal", "--prefix", "none"];
    cargo::output(&[&tree[..], &["-f", "{p}", "--features", features]].concat())
}

/// Requirement S2: TLS is rustls; only the Kafka client brings OpenSSL, where it is asked for.
fn no_openssl(tree: &str) -> Result<()> {
    // `openssl-probe` only knows where systems keep their certificates.
    let brings = ["openssl ", "openssl-sys ", "native-tls "];
    match tree.lines().find(|line| brings.iter().any(|name| line.starts_with(name))) {
        Some(found) => Err(Error::failed(format!("the default build links '{found}'"))),
        None => Ok(()),
    }
}

/// Requirement S6: nothing that outsiders reach is decoded by a package that is known as unsound.
fn nothing_unsound(tree: &str) -> Result<()> {
    match tree.lines().find(|line| line.starts_with("abomonation")) {
        Some(found) => Err(Error::failed(format!("'{found}' is linked: it is unsound"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s6_no_build_decodes_unsoundly() {
        for features in ["default", "full", "demo-broker"] {
            nothing_unsound(&linked(features).expect("a tree")).expect(features);
        }
        assert!(nothing_unsound("abomonation v0.7.3").is_err(), "it would be seen");
    }

    #[test]
    fn s2_openssl_comes_with_the_kafka_client_and_with_nothing_else() {
        for features in ["default", "mqtt", "demo-broker"] {
            no_openssl(&linked(features).expect("a tree")).expect(features);
        }
        assert!(no_openssl(&linked("kafka").expect("a tree")).is_err(), "it would be seen");
    }
}
