//! Dead letters: what could not be processed, and why; once more, or away with it.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use twinflow_operators::dead_letter::DeadLetter;

use super::{
    Api,
    problem::Problem,
    twins::{path, query},
};
use crate::connectors::answer::reply_value;

/// Dead letters of one page when the caller does not say.
const PAGE: usize = 100;

pub(super) type Number = Result<Path<u64>, PathRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    after: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Listed {
    dead_letters: Vec<DeadLetter>,
    next: Option<u64>,
}

pub(super) async fn list(
    State(api): State<Api>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listed>, Problem> {
    let page = query(page)?;
    let limit = page.limit.unwrap_or(PAGE).clamp(1, 1000);
    let mut letters = api.engine()?.dead_letters().list(page.after.unwrap_or(0), limit + 1);
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| more).map(|letter| letter.number);
    Ok(Json(Listed { dead_letters: letters, next }))
}

#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    letter: DeadLetter,
    /// Text as text, other bytes as `{"base64":".."}`; `null` when it is kept no more.
    payload: Value,
}

pub(super) async fn show(State(api): State<Api>, number: Number) -> Result<Json<Shown>, Problem> {
    let number = path(number)?;
    let engine = api.engine()?;
    let Some(letter) = engine.dead_letters().get(number) else {
        return Err(unknown(number));
    };
    let reader = engine.clone();
    let read = tokio::task::spawn_blocking(move || reader.dead_letter_payload(number)).await;
    let payload = match read {
        Ok(Ok(payload)) => payload.map_or(Value::Null, |payload| text_or_base64(&payload)),
        Ok(Err(error)) => {
            let error = error.report();
            tracing::warn!(number, error, "the payload of a dead letter cannot be read");
            return Err(Problem::new(500, "store", "the store cannot read its payload"));
        }
        Err(_stopping) => return Err(Problem::new(503, "draining", "the engine is stopping")),
    };
    Ok(Json(Shown { letter, payload }))
}

fn text_or_base64(payload: &[u8]) -> Value {
    match std::str::from_utf8(payload) {
        Ok(text) => text.into(),
        // The same form as replies of twins have.
        Err(_) => serde_json::from_str(reply_value(payload).get()).unwrap_or(Value::Null),
    }
}

/// What became of a dead letter that is gone.
#[derive(Serialize)]
pub(super) struct Gone {
    number: u64,
    /// `replayed` or `dropped`.
    outcome: &'static str,
    /// The epoch that did it.
    epoch: u64,
}

pub(super) async fn replay(State(api): State<Api>, number: Number) -> Result<Json<Gone>, Problem> {
    let number = path(number)?;
    let replayed = api.engine()?.replay(number).await;
    let epoch = replayed.map_err(|error| Problem::from(error).with("dead_letter", number))?;
    gone(number, "replayed", epoch)
}

pub(super) async fn remove(State(api): State<Api>, number: Number) -> Result<Json<Gone>, Problem> {
    let number = path(number)?;
    let epoch = api.engine()?.drop_dead_letter(number).await?;
    gone(number, "dropped", epoch)
}

fn gone(number: u64, outcome: &'static str, epoch: Option<u64>) -> Result<Json<Gone>, Problem> {
    let epoch = epoch.ok_or_else(|| unknown(number))?;
    tracing::info!(dead_letter = number, outcome, epoch, "asked by the API");
    Ok(Json(Gone { number, outcome, epoch }))
}

fn unknown(number: u64) -> Problem {
    Problem::new(404, "unknown-dead-letter", format!("no dead letter {number}"))
}
