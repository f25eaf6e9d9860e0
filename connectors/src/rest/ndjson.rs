//! `POST /v1/messages`: messages for many twins, one JSON object a line, one result line each.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    access::{Caller, not_for},
    body,
    deliver::{Fate, Item, deliver},
    depth::is_deeper,
    payloads::too_deep,
    problem::Problem,
    replies,
    service::Service,
    settings::RestSettings,
    time::source_time,
    watch::Written,
};
use crate::{
    answer::{StoredAnswer, reply_value},
    message::limits::PAYLOAD_BYTES_MAX,
};

/// One line of the body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'b> {
    #[serde(borrow)]
    model: Cow<'b, str>,
    #[serde(borrow)]
    twin: Cow<'b, str>,
    id: Option<String>,
    #[serde(borrow, default)]
    pub(super) time: Option<&'b RawValue>,
    #[serde(borrow)]
    payload: &'b RawValue,
}

/// One line of the answer.
#[derive(Serialize)]
struct ResultLine<'a> {
    index: usize,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replies: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    merged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The handler.
pub(super) async fn messages(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Response<Body> {
    answer(&service, request).await.unwrap_or_else(|problem| service.refuse(problem))
}

async fn answer(service: &Service, request: Request) -> Result<Response<Body>, Problem> {
    let (mut head, body) = request.into_parts();
    body::check_headers(&head.headers)?;
    let gate = service.any_gate()?;
    let key = body::idempotency_key(&head.headers)?;
    let body = body::read(service, &head.headers, body).await?;
    let lines = lines(&service.settings, &body.bytes)?;
    let caller = head.extensions.remove::<Caller>();
    let mut items = Vec::with_capacity(lines.len());
    // For each line its place among the items, or why it is not one.
    let mut places = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let item = match line {
            Ok(line) => item(service, caller.as_ref(), line, index, key),
            Err(problem) => Err(Refused::of(problem)),
        };
        places.push(item.map(|item| {
            items.push(item);
            items.len() - 1
        }));
    }
    let deadline = Instant::now() + service.settings.wait();
    let fates = deliver(service, &gate, &items, deadline).await?;
    let (replies, feedback) = by_item(&items, fates.replies, &fates.of);
    let mut out = Vec::with_capacity(64 * places.len());
    for (index, place) in places.iter().enumerate() {
        let line = match place {
            Ok(at) => result(index, &fates.of[*at], &replies[*at]),
            Err(refused) => failed(index, refused.status, None, &refused.reason),
        };
        serde_json::to_writer(&mut out, &line).expect("numbers, text and checked JSON");
        out.push(b'\n');
    }
    let body = replies::body(out.into(), feedback, head.extensions.remove::<Written>());
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Why a line is not delivered.
struct Refused {
    status: u16,
    reason: String,
}

impl Refused {
    fn of(problem: &Problem) -> Self {
        Self { status: problem.status(), reason: problem.detail().to_owned() }
    }
}

/// Cuts a body into lines; blank ones do not count. Limits hold for the whole request, before
/// anything of it is delivered; a line that is not as it should be is an item of the answer.
pub(super) fn lines<'b>(
    settings: &RestSettings,
    body: &'b [u8],
) -> Result<Vec<Result<Line<'b>, Problem>>, Problem> {
    let mut lines = Vec::new();
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if lines.len() == settings.lines_max {
            let detail = format!("the body has more than {} lines", settings.lines_max);
            return Err(Problem::new(413, "too-many-messages", detail));
        }
        if line.len() > settings.line_bytes_max {
            let (len, most) = (line.len(), settings.line_bytes_max);
            let detail = format!("line {} has {len} bytes, the limit is {most}", number + 1);
            return Err(Problem::new(413, "message-too-large", detail));
        }
        // The line is an object around the message.
        if is_deeper(line, settings.depth_max + 1) {
            lines.push(Err(too_deep(settings.depth_max)));
            continue;
        }
        lines.push(serde_json::from_slice::<Line<'_>>(line).map_err(|error| {
            // The error counts lines within this one.
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            let place = format!("line {} column {}", number + 1, error.column());
            Problem::new(400, "bad-json", format!("{text} at {place}"))
        }));
    }
    if lines.is_empty() {
        return Err(Problem::new(400, "no-messages", "the body has no lines"));
    }
    Ok(lines)
}

fn item<'l>(
    service: &Service,
    caller: Option<&Caller>,
    line: &'l Line<'_>,
    index: usize,
    key: Option<&str>,
) -> Result<Item<'l>, Refused> {
    let refused = |status, reason: String| Refused { status, reason };
    // First, so that a bound key hears of no other models.
    if caller.is_some_and(|caller| !caller.is_for(&line.model, &line.twin)) {
        return Err(Refused::of(&not_for().into()));
    }
    let address = service.check_address(&line.model, &line.twin);
    address.and_then(|()| service.check_hold(&line.model)).map_err(|p| Refused::of(&p))?;
    let payload = line.payload.get().as_bytes();
    if payload.len() > PAYLOAD_BYTES_MAX {
        let len = payload.len();
        let reason = format!("the payload has {len} bytes, the limit is {PAYLOAD_BYTES_MAX}");
        return Err(refused(413, reason));
    }
    if line.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 1024) {
        return Err(refused(400, "the id has no bytes or more than 1024".into()));
    }
    let id = line.id.clone().or_else(|| key.map(|key| format!("{key}#{index}")));
    let time = line.time.filter(|time| time.get() != "null");
    let time = time.map(|time| source_time(time.get())).transpose();
    let time = time.map_err(|reason| refused(400, reason))?;
    Ok(Item { model: &line.model, twin: &line.twin, id, time, payload })
}

/// Replies for each item, and the feedback to confirm. Feedback names its twin and its delivery, so
/// a twin's feedback stands with its last applied message of that delivery.
fn by_item(
    items: &[Item<'_>],
    feedback: Vec<(std::ops::Range<usize>, replies::Replies)>,
    fates: &[Fate],
) -> (Vec<Vec<Box<RawValue>>>, Vec<replies::Replies>) {
    let mut replies: Vec<Vec<Box<RawValue>>> = items.iter().map(|_| Vec::new()).collect();
    let mut confirm = Vec::new();
    for (range, mut of_delivery) in feedback {
        if of_delivery.list().is_empty() {
            continue;
        }
        let applied = |at: &usize| matches!(fates[*at], Fate::Applied { merged: false, .. });
        let last: HashMap<_, _> =
            range.filter(applied).map(|at| ((items[at].model, items[at].twin), at)).collect();
        of_delivery.keep(|feedback| last.contains_key(&(&*feedback.model, &*feedback.twin)));
        for feedback in of_delivery.list() {
            let at = last[&(&*feedback.model, &*feedback.twin)];
            replies[at].push(reply_value(&feedback.payload));
        }
        confirm.push(of_delivery);
    }
    (replies, confirm)
}

fn result<'a>(index: usize, fate: &'a Fate, replies: &'a [Box<RawValue>]) -> ResultLine<'a> {
    match fate {
        Fate::Applied { epoch, merged } => applied(index, *epoch, replies, *merged),
        Fate::Failed { epoch, dead_letter, reason } => {
            failed(index, 500, Some((*epoch, *dead_letter)), reason)
        }
        Fate::Repeated(StoredAnswer { epoch, replies, merged, rejected }) => match rejected {
            Some((dead_letter, reason)) => failed(index, 500, Some((*epoch, *dead_letter)), reason),
            None => applied(index, *epoch, replies, *merged),
        },
        Fate::InProgress => failed(index, 409, None, "a message with this id is being processed"),
        Fate::OtherBody => failed(index, 422, None, "this id was used before with another payload"),
        Fate::Unknown => {
            failed(index, 504, None, "not committed in time; it may still be processed")
        }
        Fate::Refused { status, reason } => failed(index, *status, None, reason),
    }
}

fn applied(index: usize, epoch: u64, replies: &[Box<RawValue>], merged: bool) -> ResultLine<'_> {
    ResultLine {
        index,
        status: 200,
        epoch: Some(epoch),
        replies: Some(replies),
        merged,
        dead_letter: None,
        reason: None,
    }
}

fn failed(
    index: usize,
    status: u16,
    dead_letter: Option<(u64, u64)>,
    reason: &str,
) -> ResultLine<'_> {
    let (epoch, dead_letter) = dead_letter.unzip();
    let reason = Some(reason);
    ResultLine { index, status, epoch, replies: None, merged: false, dead_letter, reason }
}
