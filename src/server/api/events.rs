//! Server-sent events: the form of one, and a body that gives them until there are no more.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::header,
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc;

/// The content type.
pub(super) const EVENTS: &str = "text/event-stream";

/// Events that wait for one listener before it is waited for; behind them its source keeps more.
const EVENTS_MAX: usize = 16;

/// One event with its epoch as the id.
pub(super) fn event(kind: &str, epoch: u64, data: &impl Serialize) -> Bytes {
    // JSON has no line breaks of its own, so one line of data is enough.
    let data = serde_json::to_string(data).expect("what the API shows always serialises");
    format!("event: {kind}\nid: {epoch}\ndata: {data}\n\n").into()
}

/// Where events come from.
pub(super) trait EventSource: Send + 'static {
    /// Waits for the next one; `None`: there are no more.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// An answer that gives a first event and then those of a source, until it has no more or the
/// caller goes.
pub(super) fn stream(first: Bytes, mut source: impl EventSource) -> Response {
    let (to, events) = mpsc::channel(EVENTS_MAX);
    drop(tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(event) = next.take() {
            tokio::select! {
                sent = to.send(event) => if sent.is_err() { return },
                () = to.closed() => return,
            }
            next = tokio::select! {
                event = source.next() => event,
                () = to.closed() => return,
            };
        }
    }));
    let headers = [(header::CONTENT_TYPE, EVENTS), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::new(Events(events))).into_response()
}

/// The body; it ends when there are no more events.
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
