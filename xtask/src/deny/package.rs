//! The dependency tree as `cargo metadata` reports it.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// One package of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The licence expression, when the manifest has one.
    pub(super) license: Option<String>,
    pub(super) source: Source,
}

/// Where a package comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A folder of this repository.
    Workspace,
    /// A folder somewhere else, which nobody but its owner has.
    Elsewhere(String),
    /// A registry or a repository, in cargo's notation: `registry+https://...`.
    Remote(String),
}

/// Reads the answer of `cargo metadata --format-version 1`.
///
/// # Errors
///
/// When the text is not JSON or lacks a field that cargo promises.
pub(super) fn parse(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata)
        .map_err(|error| Error::failed(format!("read the answer of cargo metadata: {error}")))?;
    let root = text(&metadata, "workspace_root")?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.ok_or_else(|| missing("packages"))?;
    packages.iter().map(|package| read(package, root)).collect()
}

fn read(package: &Value, root: &str) -> Result<Package> {
    let manifest = text(package, "manifest_path")?;
    let source = match package.get("source").and_then(Value::as_str) {
        Some(source) => Source::Remote(source.to_owned()),
        None if Path::new(manifest).starts_with(root) => Source::Workspace,
        None => Source::Elsewhere(manifest.to_owned()),
    };
    Ok(Package {
        name: text(package, "name")?.to_owned(),
        version: text(package, "version")?.to_owned(),
        license: package.get("license").and_then(Value::as_str).map(str::to_owned),
        source,
    })
}

fn text<'v>(value: &'v Value, field: &str) -> Result<&'v str> {
    value.get(field).and_then(Value::as_str).ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Error {
    Error::failed(format!("the answer of cargo metadata has no '{field}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_is_told_apart() {
        let metadata = r#"{
            "workspace_root": "/repo",
            "packages": [
                { "name": "ours", "version": "0.1.0", "license": "MIT", "source": null,
                  "manifest_path": "/repo/ours/Cargo.toml" },
                { "name": "patched", "version": "2.0.0", "license": null, "source": null,
                  "manifest_path": "/repository/patched/Cargo.toml" },
                { "name": "theirs", "version": "1.2.3", "license": "MIT/Zlib",
                  "source": "registry+https://example.org/index",
                  "manifest_path": "/cache/theirs/Cargo.toml" }
            ]
        }"#;
        let packages = parse(metadata).expect("metadata");
        assert_eq!(packages[0].source, Source::Workspace);
        let elsewhere = "/repository/patched/Cargo.toml".to_owned();
        assert_eq!(packages[1].source, Source::Elsewhere(elsewhere));
        assert_eq!(packages[1].license, None);
        let remote = "registry+https://example.org/index".to_owned();
        let license = Some("MIT/Zlib".to_owned());
        let (name, version) = ("theirs".to_owned(), "1.2.3".to_owned());
        assert_eq!(packages[2], Package { name, version, license, source: Source::Remote(remote) });
    }

    #[test]
    fn an_answer_without_packages_is_an_error_and_not_an_empty_tree() {
        let error = parse(r#"{ "workspace_root": "/repo" }"#).expect_err("no packages");
        assert_eq!(error.to_string(), "the answer of cargo metadata has no 'packages'");
    }
}
