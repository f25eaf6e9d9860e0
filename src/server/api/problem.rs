//! Errors as callers see them: `application/problem+json` (RFC 9457), never a stack.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use twinflow_connectors::rest::access::Denied;

use crate::engine::RequestError;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Last part of the `type`: what programs branch on.
    kind: &'static str,
    detail: String,
    retry_after_secs: Option<u64>,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem of this kind; `detail` is a sentence for the caller.
    pub(super) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).expect("a literal status");
        let detail = detail.into();
        Self { status, kind, detail, retry_after_secs: None, more: Map::new() }
    }

    /// The caller may try again after so many seconds.
    pub(super) fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// One more member of the object.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    /// The response; `id` stands in its log line too.
    pub(super) fn respond(self, id: &str) -> Response {
        let (status, kind) = (self.status.as_u16(), self.kind);
        tracing::debug!(id, status, kind, "request refused");
        // A sentence may quote the message, and what devices send stands in no log (S17).
        tracing::trace!(id, detail = self.detail, "request refused");
        let mut object = self.more;
        object.insert("type".into(), format!("urn:twinflow:problem:{kind}").into());
        object.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
        object.insert("status".into(), status.into());
        object.insert("detail".into(), self.detail.into());
        object.insert("id".into(), id.into());
        let mut response = (self.status, Json(Value::Object(object))).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        response
    }
}

impl IntoResponse for Problem {
    /// The guard gives it the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let Denied { status, kind, detail, retry_after_secs } = denied;
        Self { retry_after_secs, ..Self::new(status, kind, detail) }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let detail = error.to_string();
        match error {
            RequestError::UnknownModel(_) => Self::new(404, "unknown-model", detail),
            RequestError::BadId(_) => Self::new(400, "twin-id", detail),
            RequestError::BadCursor(_) => Self::new(400, "cursor", detail),
            RequestError::Held => Self::new(503, "held", detail).retry_after(2),
            RequestError::Stopping => Self::new(503, "draining", detail).retry_after(5),
            RequestError::TimedOut => Self::new(504, "not-committed", detail),
            RequestError::Failed(_) => Self::new(500, "twin-failed", detail),
            RequestError::NotReplayable(_) => Self::new(409, "not-replayable", detail),
            RequestError::TooManyListeners => Self::new(503, "listeners", detail).retry_after(30),
        }
    }
}
