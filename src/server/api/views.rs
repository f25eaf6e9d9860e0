//! Live views: as they are, and what becomes of them.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Json,
    body::{Body, Bytes, HttpBody},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Api,
    problem::Problem,
    twins::{PathOf, path},
};
use crate::{EngineHandle, ViewState};

/// Events that wait for one listener before it is waited for; behind it the view keeps some more.
const EVENTS_MAX: usize = 16;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "views": api.engine()?.views() })))
}

pub(super) async fn show(
    State(api): State<Api>,
    name: PathOf<String>,
) -> Result<Json<ViewState>, Problem> {
    let (name, engine) = (path(name)?, api.engine()?);
    engine.view(&name).map(Json).ok_or_else(|| unknown(engine, &name))
}

/// Server-sent events: first the whole view, then what changes, with the epoch as the event's id.
pub(super) async fn changes(
    State(api): State<Api>,
    name: PathOf<String>,
) -> Result<Response, Problem> {
    let (name, engine) = (path(name)?, api.engine()?);
    let Some((state, mut listener)) = engine.listen_to_view(&name) else {
        return Err(match engine.view(&name) {
            None => unknown(engine, &name),
            Some(_) => Problem::new(503, "stopping", "the engine is stopping".to_owned()),
        });
    };
    let (to, events) = mpsc::channel(EVENTS_MAX);
    let first = event("view", &state);
    drop(tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(bytes) = next.take() {
            tokio::select! {
                sent = to.send(bytes) => if sent.is_err() { return },
                () = to.closed() => return,
            }
            next = tokio::select! {
                update = listener.next() => update.map(|(state, whole)| {
                    event(if whole { "view" } else { "changed" }, &state)
                }),
                () = to.closed() => return,
            };
        }
    }));
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Events(events))).into_response())
}

fn event(kind: &str, state: &ViewState) -> Bytes {
    // JSON has no line breaks of its own, so one line of data is enough.
    let data = serde_json::to_string(state).expect("a view always serialises");
    format!("event: {kind}\nid: {}\ndata: {data}\n\n", state.epoch).into()
}

fn unknown(engine: &EngineHandle, name: &str) -> Problem {
    let problem = Problem::new(404, "view", format!("no view is called \"{name}\""));
    problem.with("views", engine.views())
}

/// The body of a stream of events; it ends when the engine stops.
struct Events(mpsc::Receiver<Bytes>);

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = ready!(self.0.poll_recv(cx));
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}
