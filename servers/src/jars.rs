//! Java programs from Maven Central, fetched once for a target directory.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{error::ServerError, process};

/// What is missing where there is no Java.
pub(crate) const JAVA: &str =
    "java is not there: apt-get install --no-install-recommends openjdk-17-jre-headless";
const MAVEN: &str = "mvn is not there: apt-get install --no-install-recommends maven";

/// One artifact: group, name, version.
pub(crate) type Artifact = (&'static str, &'static str, &'static str);

/// The class path of `artifacts` with all that they need, under a name with the version.
pub(crate) fn class_path(name: &str, artifacts: &[Artifact]) -> Result<String, ServerError> {
    let lib = folder().join(name).join("lib");
    let parent = folder().join(name);
    if !lib.is_dir() {
        let failed = |error| ServerError::io("make", &parent, &error);
        fs::create_dir_all(&parent).map_err(failed)?;
        // One fetches, the others wait for it; the lock goes with its process.
        let lock = File::create(parent.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if !lib.is_dir() {
            fetch(&parent, &lib, artifacts)?;
        }
    }
    let lib = lib.canonicalize().map_err(|error| ServerError::io("find", &lib, &error))?;
    Ok(format!("{}/*", lib.display()))
}

/// Half a download never has the name of a whole one.
fn fetch(parent: &Path, lib: &Path, artifacts: &[Artifact]) -> Result<(), ServerError> {
    let half = parent.join("half");
    let failed = |error| ServerError::io("make", &half, &error);
    if half.exists() {
        fs::remove_dir_all(&half).map_err(failed)?;
    }
    fs::create_dir_all(&half).map_err(failed)?;
    fs::write(half.join("pom.xml"), pom(artifacts)).map_err(failed)?;
    let goal = "dependency:copy-dependencies";
    let options = ["-DoutputDirectory=lib", "-DincludeScope=runtime"];
    process::complete(&[&["mvn", "-B", "-q", goal], &options[..]].concat(), &half, MAVEN)?;
    fs::rename(half.join("lib"), lib).map_err(failed)?;
    fs::remove_dir_all(&half).map_err(failed)
}

fn pom(artifacts: &[Artifact]) -> String {
    let mut text = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\
        <modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>run</artifactId>\
        <version>1</version><packaging>pom</packaging><dependencies>\n"
        .to_owned();
    for (group, name, version) in artifacts {
        text.push_str(&format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version></dependency>\n"
        ));
    }
    text.push_str("</dependencies></project>\n");
    text
}

/// `target/servers/jars` of the workspace.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/jars")
}
