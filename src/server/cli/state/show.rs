//! What `twinflow state` shows to people.

use std::path::Path;

use serde_json::Value;

use super::super::output::{columns, table, text};

/// Numbers of a directory: itself, its models, its connections.
pub(super) fn info(info: &Value) -> String {
    let keys = [
        "directory",
        "format",
        "log",
        "generation",
        "epoch",
        "sequence",
        "time_us",
        "sealed",
        "first_segment",
        "last_segment",
        "log_bytes",
        "disk_bytes",
        "twins",
        "dead_letters",
    ];
    let rows: Vec<_> = keys.iter().map(|key| vec![(*key).to_owned(), text(info, key)]).collect();
    let head = ["MODEL", "TWINS", "BYTES", "MESSAGE IDS", "QUARANTINED"];
    let keys = ["name", "twins", "bytes", "message_ids", "quarantined"];
    let models = columns(&head, &keys, &info["models"]);
    let connections = info["connections"].as_array().into_iter().flatten();
    let rows_of = connections.flat_map(|connection| {
        let of = |topic, partition, next| {
            vec![text(connection, "name"), topic, partition, next, text(connection, "feedback")]
        };
        let positions = connection["positions"].as_array().filter(|all| !all.is_empty());
        let Some(positions) = positions else {
            return vec![of("-".into(), "-".into(), "-".into())];
        };
        let row = |it: &Value| of(text(it, "topic"), text(it, "partition"), text(it, "next"));
        positions.iter().map(row).collect::<Vec<_>>()
    });
    let head = ["CONNECTION", "TOPIC", "PARTITION", "NEXT", "FEEDBACK"];
    let connections = table(&head, &rows_of.collect::<Vec<_>>());
    format!("{}\n{models}\n{connections}", table(&["KEY", "VALUE"], &rows))
}

/// What a check found.
pub(super) fn checked(dir: &Path, report: &Value) -> String {
    let dir = dir.display();
    let mut said = String::new();
    if let Some(at) = report["cut_off"].as_str() {
        said.push_str(&format!(
            "{dir}: a write was cut off in {at}; nobody was told of it, the next start drops it\n"
        ));
    }
    for problem in report["problems"].as_array().into_iter().flatten() {
        let (what, next) = (text(problem, "what"), text(problem, "next"));
        let code = text(problem, "exit_code");
        said.push_str(&format!("{dir}: {what} (exit code {code})\n  next: {next}\n"));
    }
    if report["ok"] == true {
        let (epoch, twins) = (text(report, "epoch"), text(report, "twins"));
        let letters = text(report, "dead_letters");
        said.push_str(&format!(
            "{dir}: ok: epoch {epoch}, twins: {twins}, dead letters: {letters}"
        ));
        if let Some(decoded) = report["decoded"].as_u64() {
            said.push_str(&format!(", decoded by the models of the file: {decoded}"));
        }
        said.push('\n');
    }
    said
}

/// What goes, in words; what there is none of is left out.
pub(super) fn removed(report: &Value) -> String {
    let kinds = ["twins", "message_ids", "quarantined", "feedback", "dead_letters", "positions"];
    let some = kinds.iter().filter(|kind| report[**kind] != 0);
    let words = some.map(|kind| format!("{}: {}", kind.replace('_', " "), report[*kind]));
    words.collect::<Vec<_>>().join(", ")
}
