//! What a verb prints: data on standard output, as a table for people or JSON for programs.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// `--output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The flag for it.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// Form of what is printed
    #[arg(long, value_name = "FORM", default_value = "table")]
    output: Output,
}

impl OutputArgs {
    /// Prints JSON as it is, or what `table` makes of it.
    pub(super) fn show(self, json: &Value, table: impl FnOnce(&Value) -> String) -> Result<()> {
        self.show_more(json, table).map(drop)
    }

    /// The same of one among many; `false` once nobody reads any more.
    pub(super) fn show_more(
        self,
        json: &Value,
        table: impl FnOnce(&Value) -> String,
    ) -> Result<bool> {
        match self.output {
            Output::Json => print_more(&format!("{json}\n")),
            Output::Table => print_more(&table(json)),
        }
    }
}

/// Writes to standard output. A reader that went away (`| head`) wants no more: no error.
pub(crate) fn print(text: &str) -> Result<()> {
    print_more(text).map(drop)
}

/// The same; `false` once the reader has gone away.
fn print_more(text: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Error::new(ErrorKind::Disk, "could not write to standard output").because(error))
        }
    }
}

/// Rows in columns that line up, with a head.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let all: Vec<_> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One row for each object of a list, with these members.
pub(super) fn columns(head: &[&str], keys: &[&str], objects: &Value) -> String {
    let objects = objects.as_array().into_iter().flatten();
    let row = |object: &Value| keys.iter().map(|key| text(object, key)).collect();
    table(head, &objects.map(row).collect::<Vec<_>>())
}

/// A member of an object as text.
pub(super) fn text(json: &Value, key: &str) -> String {
    match json.get(key) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// An object, one member a line.
pub(super) fn members(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let rows: Vec<_> = members.map(|(key, _)| vec![key.clone(), text(object, key)]).collect();
    table(&["KEY", "VALUE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "long".into()], vec!["bcd".into(), "x".into()]];
        assert_eq!(table(&["id", "n"], &rows), "id   n\na    long\nbcd  x\n");
    }
}
