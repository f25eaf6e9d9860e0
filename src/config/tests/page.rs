//! `docs/reference/configuration.md` is made of the settings types and of nothing else.
//!
//! It has the connectors of all features. To write it anew:
//! `cargo test -p twinflow --features full --lib -- --ignored writes_the_page`.

use std::{fmt::Write, fs, path::PathBuf};

use schemars::JsonSchema;
use serde_json::Value as Json;

use super::{
    super::{connection::WrittenConnection, model::WrittenModel, properties},
    *,
};

const INTRODUCTION: &str = "\
# The configuration file

Made from the settings types by a test; edit the comments in `src/config/` instead.

`twinflow run` reads `twinflow.toml` in the current directory, or the file that `--config` names.
Paths in it are relative to the directory that the program runs in. Every key can be set from
outside, in this order: a flag, the environment, the file, the default.

- `TWINFLOW__STATE__DIR=/var/lib/twinflow` sets `dir` of `[state]`; names in it are not case
  sensitive, and `_` also stands for `-`. Values are read as whatever the key wants; a list is
  written as in TOML.
- `${env:NAME}` and `${file:PATH}` in any string are replaced; a missing one is an error. `$${` is
  `${` itself. `twinflow config` prints what is in force, with these references instead of their
  values.
- An unknown key is an error. All errors name file, line and key.
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "`[server]`", &schema::<WrittenServer>());
    section(&mut page, "`[state]`", &schema::<WrittenState>());
    section(&mut page, "`[models.NAME]`, of every type", &schema::<WrittenModel>());
    for kind in ModelKinds::stock().iter() {
        let title = format!("`[models.NAME]` with `type = \"{}\"`", kind.name());
        section(&mut page, &title, kind.settings_schema().unwrap_or(&Json::Null));
    }
    section(&mut page, "`[connections.NAME]`, of every type", &schema::<WrittenConnection>());
    for kind in ConnectorKinds::stock().iter() {
        let title = format!("`[connections.NAME]` with `type = \"{}\"`", kind.name());
        section(&mut page, &title, kind.schema());
    }
    page
}

fn schema<T: JsonSchema>() -> Json {
    Json::from(schemars::schema_for!(T))
}

fn section(page: &mut String, title: &str, schema: &Json) {
    writeln!(page, "\n## {title}\n").unwrap();
    let mut keys = properties(schema).peekable();
    if keys.peek().is_none() {
        page.push_str("No settings of its own.\n");
        return;
    }
    page.push_str("| Key | Meaning |\n|---|---|\n");
    for (key, about) in keys {
        let words = about["description"].as_str().expect("every key has a comment");
        writeln!(page, "| `{key}` | {} |", words.replace('\n', " ")).unwrap();
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference/configuration.md")
}

#[test]
fn the_page_is_what_the_types_say() {
    let written = fs::read_to_string(file()).unwrap_or_default();
    assert!(written == page(), "docs/reference/configuration.md is out of date; see this file");
}

#[test]
#[ignore = "writes a file of the repository"]
fn writes_the_page() {
    fs::write(file(), page()).unwrap();
}
