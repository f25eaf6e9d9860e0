//! What an answer to an upload means for the device that sent it.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::client::Response;

/// The longest that a device waits because it was told to. `Retry-After` has whole seconds, and an
/// engine on the same machine is back sooner.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// An upload that is done with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handled {
    /// The epoch that the answer names.
    pub(super) epoch: u64,
    /// Feedback of the twin.
    pub(super) commands: Vec<String>,
    /// Places of the messages that became dead letters.
    pub(super) dead: Vec<u64>,
}

/// Feedback that waited at the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The epoch that sent it.
    pub(super) epoch: u64,
    pub(super) command: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Handled(Handled),
    /// Send the same again with the same key, a little later.
    Again(Duration),
    /// The engine will never take this.
    Refused(String),
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    replies: Vec<Value>,
    #[serde(default)]
    failed: Vec<Failed>,
    epoch: u64,
}

#[derive(Deserialize)]
struct Failed {
    index: u64,
    #[serde(rename = "dead_letter")]
    _dead_letter: u64,
}

/// A problem that names the dead letter of a single message.
#[derive(Deserialize)]
struct DeadLetter {
    #[serde(rename = "dead_letter")]
    _dead_letter: u64,
    epoch: u64,
}

/// Reads the answer to an upload.
pub(super) fn verdict(response: &Response) -> Verdict {
    let status = response.status;
    let refused = || {
        let text = String::from_utf8_lossy(&response.body);
        Verdict::Refused(format!("{status}: {}", text.chars().take(300).collect::<String>()))
    };
    match status {
        StatusCode::OK => match serde_json::from_slice::<Answered>(&response.body) {
            Ok(Answered { replies, failed, epoch }) => Verdict::Handled(Handled {
                epoch,
                commands: replies.iter().map(command).collect(),
                dead: failed.iter().map(|failed| failed.index).collect(),
            }),
            Err(_) => refused(),
        },
        StatusCode::INTERNAL_SERVER_ERROR => match serde_json::from_slice(&response.body) {
            Ok(DeadLetter { epoch, .. }) => {
                Verdict::Handled(Handled { epoch, commands: Vec::new(), dead: vec![0] })
            }
            Err(_) => refused(),
        },
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::CONFLICT => {
            let told = Duration::from_secs(response.retry_after_secs.unwrap_or(0));
            Verdict::Again(told.min(WAIT_MAX))
        }
        _ => refused(),
    }
}

#[derive(Deserialize)]
struct Fetched {
    feedback: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    payload: Value,
}

/// Reads the answer to a fetch: what waits, and the id to acknowledge. `None`: nothing waits, or it
/// cannot be told.
pub(super) fn waiting(response: &Response) -> Option<(Vec<Waiting>, String)> {
    if response.status != StatusCode::OK {
        return None;
    }
    let Fetched { feedback } = serde_json::from_slice(&response.body).ok()?;
    let last = feedback.last()?.id.clone();
    let entry = |entry: &Entry| {
        // The id is generation, epoch, index.
        let epoch = entry.id.split('-').nth(1)?.parse().ok()?;
        Some(Waiting { epoch, command: command(&entry.payload) })
    };
    Some((feedback.iter().filter_map(entry).collect(), last))
}

/// What a twin sent, as its device reads it.
pub(super) fn command(payload: &Value) -> String {
    payload.as_str().map_or_else(|| payload.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &'static str) -> Response {
        let status = StatusCode::from_u16(status).unwrap();
        Response { status, retry_after_secs: Some(9), body: body.into() }
    }

    #[test]
    fn a_good_answer_has_commands_and_the_places_of_dead_letters() {
        let body = r#"{"applied":1,"replies":["brake"],"epoch":4,
            "failed":[{"index":1,"dead_letter":17,"reason":"no"}]}"#;
        let Verdict::Handled(handled) = verdict(&response(200, body)) else { panic!() };
        assert_eq!((handled.epoch, handled.dead), (4, vec![1]));
        assert_eq!(handled.commands, ["brake"]);
        let dead = verdict(&response(500, r#"{"dead_letter":3,"epoch":5,"detail":"no"}"#));
        let expected = Handled { epoch: 5, dead: vec![0], ..Handled::default() };
        assert_eq!(dead, Verdict::Handled(expected));
    }

    #[test]
    fn only_an_answer_for_good_ends_an_upload() {
        for status in [409, 429, 503, 504] {
            assert_eq!(verdict(&response(status, "{}")), Verdict::Again(WAIT_MAX), "{status}");
        }
        for (status, body) in [(200, "{}"), (400, "{}"), (404, ""), (422, "{}"), (500, "{}")] {
            assert!(matches!(verdict(&response(status, body)), Verdict::Refused(_)), "{status}");
        }
    }

    #[test]
    fn waiting_feedback_has_its_epoch_in_its_id() {
        let body = r#"{"feedback":[{"id":"1f-7-0","payload":"brake"},
            {"id":"1f-9-1","payload":{"level":2}}]}"#;
        let (feedback, last) = waiting(&response(200, body)).unwrap();
        assert_eq!(last, "1f-9-1");
        assert_eq!(feedback[0], Waiting { epoch: 7, command: "brake".into() });
        assert_eq!(feedback[1], Waiting { epoch: 9, command: r#"{"level":2}"#.into() });
        assert_eq!(waiting(&response(204, "")), None);
    }
}
