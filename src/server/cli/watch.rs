//! `twinflow twins watch`: what is done to twins, as it is committed.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::{AskArgs, output::text};
use crate::{error::Result, server::client::segment};

/// `twinflow twins watch`
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Name of the model
    model: String,
    /// Id of a twin, which need not be there yet; all twins of the model without it
    id: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

impl Watch {
    pub(super) fn run(self) -> Result<()> {
        let model = segment(&self.model);
        let path = match &self.id {
            Some(id) => format!("/v1/twins/{model}/{}/calls", segment(id)),
            None => format!("/v1/calls/{model}"),
        };
        self.ask.server.client()?.follow(&path, |kind, event| {
            if kind == "call" {
                return self.ask.output.show_more(event, described);
            }
            eprintln!("{kind}; Ctrl-C ends");
            Ok(true)
        })
    }
}

/// A call for people: what came, what it changed, what was sent.
fn described(call: &Value) -> String {
    let mut lines = format!("epoch {}  {}\n", text(call, "epoch"), text(call, "twin"));
    let mut line = |what: &str, value: String| {
        // Writing to a string does not fail.
        let _written = writeln!(lines, "  {what:<8} {value}").is_err();
    };
    for message in list(call, "messages") {
        line("message", text(message, "payload"));
        if message.get("failed").is_some() {
            line("failed", text(message, "failed"));
        }
    }
    let state = |key| call.get(key).filter(|state| !state.is_null());
    match (state("before"), state("after")) {
        (Some(before), Some(after)) => {
            changes(before, after).into_iter().for_each(|change| line("state", change));
        }
        (None, Some(after)) => line("new", after.to_string()),
        (Some(_), None) => line("removed", String::new()),
        (None, None) => {}
    }
    for feedback in list(call, "feedback") {
        line("feedback", feedback.to_string());
    }
    if call.get("missed").is_some() {
        line("missed", format!("{} calls, which came too fast", text(call, "missed")));
    }
    lines
}

fn list<'c>(call: &'c Value, key: &str) -> &'c [Value] {
    call.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The members that differ, or the whole when these are no objects.
fn changes(before: &Value, after: &Value) -> Vec<String> {
    let (Value::Object(was), Value::Object(is)) = (before, after) else {
        let all = format!("{before} -> {after}");
        return if before == after { Vec::new() } else { vec![all] };
    };
    let mut changes = Vec::new();
    for (key, value) in is {
        match was.get(key) {
            Some(old) if old == value => {}
            Some(old) => changes.push(format!("{key}: {old} -> {value}")),
            None => changes.push(format!("{key}: {value}, new")),
        }
    }
    let gone = was.keys().filter(|key| !is.contains_key(*key));
    changes.extend(gone.map(|key| format!("{key}: gone")));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_told_by_what_it_changed() {
        let call = json!({
            "twin": "t1", "epoch": 7,
            "messages": [{ "payload": { "rpm": 9 } }, { "payload": "x", "failed": "not JSON" }],
            "before": { "n": 1, "old": true, "same": 2 },
            "after": { "n": 2, "same": 2, "fresh": [1] },
            "feedback": [{ "brake": 1 }],
            "missed": 3,
        });
        let expected = "epoch 7  t1\n  message  {\"rpm\":9}\n  message  x\n  failed   not JSON\n  \
                        state    fresh: [1], new\n  state    n: 1 -> 2\n  state    old: gone\n  \
                        feedback {\"brake\":1}\n  missed   3 calls, which came too fast\n";
        assert_eq!(described(&call), expected);
        let made = described(&json!({ "twin": "t", "epoch": 1, "before": null, "after": [1] }));
        assert_eq!(made, "epoch 1  t\n  new      [1]\n");
        let gone = described(&json!({ "twin": "t", "epoch": 1, "before": 1, "after": null }));
        assert_eq!(gone.trim_end(), "epoch 1  t\n  removed");
        assert_eq!(changes(&json!(1), &json!(2)), ["1 -> 2"]);
    }
}
