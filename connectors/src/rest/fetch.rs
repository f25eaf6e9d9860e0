//! `GET /v1/twins/{model}/{id}/feedback` and `POST .../feedback/ack`.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{Response, StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    body,
    post::{TwinPath, address},
    problem::Problem,
    service::Service,
};
use crate::{answer::reply_value, link::FeedbackId};

/// The longest wait of one fetch.
const WAIT_SECS_MAX: u64 = 300;

/// The most messages of one fetch.
const MESSAGES_MAX: usize = 1000;

/// The query of a fetch.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    wait_secs: u64,
    max: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { wait_secs: 0, max: 100 }
    }
}

#[derive(Serialize)]
struct Answer {
    feedback: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    payload: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    through: String,
}

/// The handler of a fetch: 200 with what waits, 204 when nothing does.
pub(super) async fn feedback(
    State(service): State<Arc<Service>>,
    path: TwinPath,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response<Body> {
    answer(&service, path, wanted).await.unwrap_or_else(|problem| service.refuse(problem))
}

async fn answer(
    service: &Service,
    path: TwinPath,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response<Body>, Problem> {
    let (model, twin) = address(service, path)?;
    let Query(Wanted { wait_secs, max }) =
        wanted.map_err(|rejection| Problem::new(400, "query", rejection.body_text()))?;
    let deadline = Instant::now() + Duration::from_secs(wait_secs.min(WAIT_SECS_MAX));
    let max = max.clamp(1, MESSAGES_MAX);
    let twin = (&*model, &*twin);
    let fetched = service.mailboxes.fetch(twin, max, deadline, || service.hurries()).await;
    if fetched.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let entry = |message: super::feedback::Fetched| Entry {
        id: message.id.to_string(),
        payload: reply_value(&message.payload),
    };
    let answer = Answer { feedback: fetched.into_iter().map(entry).collect() };
    let bytes = serde_json::to_vec(&answer).expect("text and checked JSON");
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// The handler of an acknowledgement.
pub(super) async fn acknowledge(
    State(service): State<Arc<Service>>,
    path: TwinPath,
    request: Request,
) -> Response<Body> {
    let done = acknowledged(&service, path, request).await;
    done.map_or_else(|problem| service.refuse(problem), |()| StatusCode::NO_CONTENT.into_response())
}

async fn acknowledged(service: &Service, path: TwinPath, request: Request) -> Result<(), Problem> {
    let (head, body) = request.into_parts();
    body::check_headers(&head.headers)?;
    let (model, twin) = address(service, path)?;
    let body = body::read(service, &head.headers, body).await?;
    let through = through(&body.bytes)?;
    service.mailboxes.acknowledge(&model, &twin, through);
    Ok(())
}

/// What the body of an acknowledgement says.
pub(super) fn through(body: &[u8]) -> Result<FeedbackId, Problem> {
    let asked: Acknowledgement = serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the body is not {{\"through\":\"..\"}}: {error}");
        let (line, column) = (error.line(), error.column());
        Problem::new(400, "bad-json", detail).with("line", line).with("column", column)
    })?;
    feedback_id(&asked.through)
        .ok_or_else(|| Problem::new(400, "feedback-id", "through: use an id that a GET gave"))
}

/// Reads what `FeedbackId` prints.
fn feedback_id(text: &str) -> Option<FeedbackId> {
    let mut parts = text.splitn(3, '-');
    let generation = u64::from_str_radix(parts.next()?, 16).ok()?;
    let (epoch, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let id = FeedbackId { generation, epoch, index };
    (id.to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feedback_id_is_read_as_it_is_printed_and_not_otherwise() {
        let id = FeedbackId { generation: u64::MAX, epoch: 7, index: 3 };
        assert_eq!(feedback_id(&id.to_string()), Some(id));
        for bad in ["", "1-2", "1-2-3-4", "01-2-3", "1-+2-3", "x-1-1"] {
            assert_eq!(feedback_id(bad), None, "{bad}");
        }
    }
}
