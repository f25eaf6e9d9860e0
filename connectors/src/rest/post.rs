//! `POST /v1/twins/{model}/{id}/messages`: one message or an array for one twin.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{Response, header},
    response::IntoResponse,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    body,
    deliver::{Fate, Fates, Item, deliver},
    payloads::payloads,
    problem::Problem,
    replies::{self, Replies},
    service::Service,
    watch::Written,
};
use crate::answer::{StoredAnswer, reply_value};

/// Model and twin id of a path.
pub(super) type TwinPath = Result<Path<(String, String)>, PathRejection>;

/// The handler.
pub(super) async fn messages(
    State(service): State<Arc<Service>>,
    path: TwinPath,
    request: Request,
) -> Response<Body> {
    answer(&service, path, request).await.unwrap_or_else(|problem| service.refuse(problem))
}

/// Model and id of a path, checked.
pub(super) fn address(service: &Service, path: TwinPath) -> Result<(String, String), Problem> {
    let Path((model, twin)) = path.map_err(|rejection| {
        Problem::new(400, "twin-id", format!("the path is not UTF-8: {}", rejection.body_text()))
    })?;
    service.check_address(&model, &twin)?;
    Ok((model, twin))
}

async fn answer(
    service: &Service,
    path: TwinPath,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (mut head, body) = request.into_parts();
    body::check_headers(&head.headers)?;
    let (model, twin) = address(service, path)?;
    service.check_hold(&model)?;
    let key = body::idempotency_key(&head.headers)?;
    let body = body::read(service, &head.headers, body).await?;
    let (payloads, is_array) = payloads(&body.bytes, &service.settings)?;
    let items: Vec<_> = payloads
        .iter()
        .enumerate()
        .map(|(index, payload)| Item {
            model: &model,
            twin: &twin,
            id: key.map(|key| format!("{key}#{index}")),
            time: None,
            payload: payload.get().as_bytes(),
        })
        .collect();
    let deadline = Instant::now() + service.settings.wait();
    let gate = service.gate_of(&twin)?;
    let fates = deliver(service, &gate, &items, deadline).await?;
    let whole = Whole::of(fates)?;
    if !is_array && let Some(failed) = whole.failed.first() {
        return Err(Problem::new(500, "failed", failed.reason.clone())
            .with("dead_letter", failed.dead_letter)
            .with("epoch", whole.epoch));
    }
    Ok(whole.respond(head.extensions.remove::<Written>()))
}

/// The answer to a whole request.
#[derive(Debug, Serialize)]
struct Whole {
    applied: usize,
    replies: Vec<Box<RawValue>>,
    failed: Vec<Failed>,
    epoch: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    merged: bool,
    #[serde(skip)]
    feedback: Vec<Replies>,
}

#[derive(Debug, Serialize)]
struct Failed {
    index: usize,
    dead_letter: u64,
    reason: String,
}

impl Whole {
    /// Puts together what became of every message; a problem when there is no common answer. The
    /// feedback of a request without an answer goes to its twin's mailbox.
    fn of(fates: Fates) -> Result<Self, Problem> {
        no_common_answer(&fates.of)?;
        let Fates { of, replies: feedback } = fates;
        let (applied, failed) = (0, Vec::new());
        let mut whole = Self {
            applied,
            replies: Vec::new(),
            failed,
            epoch: 0,
            merged: false,
            feedback: Vec::new(),
        };
        let mut fates = of.into_iter().enumerate();
        for (range, feedback) in feedback {
            for (index, fate) in fates.by_ref().take(range.len()) {
                whole.add(index, fate);
            }
            let fresh = feedback.list().iter();
            whole.replies.extend(fresh.map(|feedback| reply_value(&feedback.payload)));
            whole.feedback.push(feedback);
        }
        Ok(whole)
    }

    fn add(&mut self, index: usize, fate: Fate) {
        let (epoch, merged, failed) = match fate {
            Fate::Applied { epoch, merged } => (epoch, merged, None),
            Fate::Failed { epoch, dead_letter, reason } => {
                (epoch, false, Some((dead_letter, reason)))
            }
            Fate::Repeated(StoredAnswer { epoch, replies, merged, rejected }) => {
                self.replies.extend(replies);
                (epoch, merged, rejected)
            }
            Fate::InProgress | Fate::OtherBody | Fate::Unknown | Fate::Refused { .. } => {
                unreachable!("a request with one of these has no common answer")
            }
        };
        self.epoch = self.epoch.max(epoch);
        match failed {
            Some((dead_letter, reason)) => self.failed.push(Failed { index, dead_letter, reason }),
            None => {
                self.applied += 1;
                // The last applied message says where the feedback of its call went (law P7).
                self.merged = merged;
            }
        }
    }

    fn respond(mut self, written: Option<Written>) -> Response<Body> {
        let bytes = serde_json::to_vec(&self).expect("numbers, text and checked JSON").into();
        let body = replies::body(bytes, std::mem::take(&mut self.feedback), written);
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn no_common_answer(fates: &[Fate]) -> Result<(), Problem> {
    if fates.iter().any(|fate| matches!(fate, Fate::OtherBody)) {
        let detail = "this Idempotency-Key was used before with another body";
        return Err(Problem::new(422, "key-other-body", detail));
    }
    if fates.iter().any(|fate| matches!(fate, Fate::InProgress)) {
        let detail = "a request with this Idempotency-Key is still being processed";
        return Err(Problem::new(409, "key-in-progress", detail).retry_after(1));
    }
    let open = |fate: &&Fate| matches!(fate, Fate::Unknown | Fate::Refused { .. });
    let unknown = fates.iter().filter(open).count();
    if unknown == 0 {
        return Ok(());
    }
    let detail = format!(
        "{unknown} of {} messages were not committed in time; they may still be processed: send \
         them again with the same Idempotency-Key",
        fates.len()
    );
    Err(Problem::new(504, "outcome-unknown", detail))
}
