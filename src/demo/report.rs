//! What a demonstration came to: one object for programs, some lines for people.

use std::fmt::Write;

use serde::Serialize;

use super::{
    check::Checked,
    latency::Percentiles,
    record::{COMMANDS, Totals},
};
use crate::error::{Error, ErrorKind, Result};

/// Everything that is known at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) totals: Totals,
    pub(super) checked: Checked,
    pub(super) times: Percentiles,
    pub(super) kills: u64,
    pub(super) seconds: f64,
    /// Answers that no device should ever get: how many, and the first.
    pub(super) refused: (u64, Option<String>),
}

/// The object of `--output json`; its keys are fixed. What a broker acknowledged counts as
/// acknowledged, and as lost if it is not in its twin in the end; the times are of HTTP alone.
#[derive(Serialize)]
struct Object {
    messages: u64,
    acknowledged: u64,
    applied: u64,
    twins: u64,
    commands: u64,
    dead_letters: u64,
    lost: u64,
    kills: u64,
    p50_us: u64,
    p99_us: u64,
    seconds: f64,
}

impl Outcome {
    /// One object on one line.
    pub(super) fn json(&self) -> String {
        let Self { totals, checked, times, .. } = self;
        let object = Object {
            messages: totals.messages,
            acknowledged: totals.acknowledged,
            applied: checked.applied,
            twins: checked.twins,
            commands: totals.all_commands(),
            dead_letters: totals.dead_letters,
            lost: checked.lost,
            kills: self.kills,
            p50_us: times.p50_us,
            p99_us: times.p99_us,
            seconds: (self.seconds * 1000.0).round() / 1000.0,
        };
        serde_json::to_string(&object).expect("numbers always encode") + "\n"
    }

    /// The summary for people.
    pub(super) fn text(&self) -> String {
        let Self { totals, checked, times, .. } = self;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "  {name:<14} {value}").expect("writing to a string never fails");
        };
        line("messages", format!("{} in {:.1} s", totals.messages, self.seconds));
        line("acknowledged", format!("{} (at the devices)", totals.acknowledged));
        let by_broker = totals.by_broker;
        if by_broker > 0 {
            line("  by the engine", format!("{} over HTTP", totals.acknowledged - by_broker));
            line("  by the broker", format!("{by_broker} over MQTT, before the engine had them"));
        }
        let twins = checked.twins;
        line("applied", format!("{} (in the states of {twins} twins)", checked.applied));
        line("dead letters", format!("{} (bad on purpose)", totals.dead_letters));
        line("commands", commands(&totals.commands));
        let ms = |micros| micros as f64 / 1000.0;
        let (p50, p99) = (ms(times.p50_us), ms(times.p99_us));
        let of = if by_broker > 0 { ", over HTTP" } else { "" };
        line("acknowledging", format!("p50 {p50:.1} ms, p99 {p99:.1} ms after it was due{of}"));
        if self.kills > 0 {
            line("kills", format!("{} with SIGKILL", self.kills));
        }
        line("lost", checked.lost.to_string());
        if checked.twice + checked.strange > 0 {
            line("applied twice", checked.twice.to_string());
            line("never sent", checked.strange.to_string());
        }
        text
    }

    /// What went wrong, as the program's exit code and last line.
    ///
    /// # Errors
    ///
    /// Something was lost, was applied twice, or was refused.
    pub(super) fn verdict(&self) -> Result<()> {
        let Checked { lost, twice, strange, .. } = self.checked;
        let what = match &self.refused {
            _ if lost > 0 => format!("{lost} acknowledged messages are not in their twins' states"),
            _ if twice > 0 => format!("{twice} messages were applied twice"),
            _ if strange > 0 => format!("the twins have {strange} messages that nobody sent"),
            (0, _) => return Ok(()),
            (count, first) => {
                let first = first.as_deref().unwrap_or_default();
                format!("{count} uploads were not answered for good, the first: {first}")
            }
        };
        Err(Error::new(ErrorKind::Refused, what))
    }
}

/// How many commands of each kind.
pub(super) fn commands(counts: &[u64; COMMANDS.len()]) -> String {
    let kinds = COMMANDS.iter().zip(counts).filter(|(_, count)| **count > 0);
    let kinds: Vec<_> = kinds.map(|(name, count)| format!("{count} {name}")).collect();
    if kinds.is_empty() { "none yet".into() } else { kinds.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_exactly_the_promised_keys() {
        let json: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&Outcome::default().json()).unwrap();
        let mut promised = [
            "messages",
            "acknowledged",
            "applied",
            "twins",
            "commands",
            "dead_letters",
            "lost",
            "kills",
            "p50_us",
            "p99_us",
            "seconds",
        ];
        promised.sort_unstable();
        assert!(json.keys().eq(promised));
    }

    #[test]
    fn a_loss_or_a_repetition_is_the_exit_code_1() {
        assert!(Outcome::default().verdict().is_ok());
        let wrong = [
            Checked { lost: 1, ..Checked::default() },
            Checked { twice: 1, ..Checked::default() },
            Checked { strange: 1, ..Checked::default() },
        ];
        for checked in wrong {
            let outcome = Outcome { checked, ..Outcome::default() };
            assert_eq!(outcome.verdict().unwrap_err().kind().exit_code(), 1);
        }
        let refused = (2, Some("404".into()));
        let error = Outcome { refused, ..Outcome::default() }.verdict().unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
    }
}
