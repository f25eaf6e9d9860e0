//! Errors as callers see them: `application/problem+json` (RFC 9457), never a stack.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Map, Value};

use super::access::Denied;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// Last part of the `type`: what programs branch on.
    kind: &'static str,
    detail: String,
    retry_after_secs: Option<u64>,
    close: bool,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem of this kind; `detail` is a sentence for the caller.
    pub(super) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).expect("a literal status");
        let detail = detail.into();
        Self { status, kind, detail, retry_after_secs: None, close: false, more: Map::new() }
    }

    /// The caller may try again after so many seconds.
    pub(super) fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// The connection ends with this answer.
    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// One more member of the object.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The response; `id` stands in the log line of the same problem.
    pub(super) fn respond(mut self, id: String) -> Response<Body> {
        let (status, kind) = (self.status.as_u16(), self.kind);
        tracing::debug!(id, status, kind, "request refused");
        // A sentence may quote the message, and what devices send stands in no log (S17).
        tracing::trace!(id, detail = self.detail, "request refused");
        let mut object = std::mem::take(&mut self.more);
        object.insert("type".into(), format!("urn:twinflow:problem:{kind}").into());
        object.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
        object.insert("status".into(), status.into());
        object.insert("detail".into(), self.detail.into());
        object.insert("id".into(), id.into());
        let mut response = (self.status, Value::Object(object).to_string()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let Denied { status, kind, detail, retry_after_secs } = denied;
        Self { retry_after_secs, ..Self::new(status, kind, detail) }
    }
}
