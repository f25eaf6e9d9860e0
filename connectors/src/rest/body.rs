//! What is checked of a request before its messages are looked at, and its body.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

use super::{problem::Problem, service::Service};
use crate::message::limits::{ATTRIBUTES_BYTES_MAX, HEADERS_MAX};

/// Bytes of an `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;

/// Checks the headers of a request with messages.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > ATTRIBUTES_BYTES_MAX {
        let count = headers.len();
        let detail = format!(
            "the request has {count} headers of {bytes} bytes; \
             the limits are {HEADERS_MAX} and {ATTRIBUTES_BYTES_MAX}"
        );
        return Err(Problem::new(431, "headers", detail));
    }
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Problem::new(415, "content-encoding", "send the body without compression"));
    }
    match headers.get(header::CONTENT_TYPE) {
        Some(kind) if !is_json(kind.to_str().unwrap_or_default()) => {
            let detail = "send Content-Type: application/json or application/x-ndjson \
                          (curl: --json)";
            Err(Problem::new(415, "content-type", detail))
        }
        _ => Ok(()),
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "application/json" | "application/x-ndjson")
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The `Idempotency-Key`, if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some(key)),
        _ => {
            let detail = format!("Idempotency-Key: use 1 to {KEY_BYTES_MAX} printable characters");
            Err(Problem::new(400, "idempotency-key", detail))
        }
    }
}

/// A body in memory; its bytes count until this is dropped.
pub(super) struct ReadBody<'s> {
    pub(super) bytes: Bytes,
    _counted: Option<SemaphorePermit<'s>>,
}

/// Reads a whole body within the limits of the settings.
pub(super) async fn read<'s>(
    service: &'s Service,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<ReadBody<'s>, Problem> {
    let most = service.settings.body_bytes_max;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok());
    let announced = announced.and_then(|len| len.parse::<usize>().ok());
    if announced.is_some_and(|len| len > most) {
        // A client that waits for "100 Continue" has sent nothing; another one needs an ear.
        if !headers.contains_key(header::EXPECT) {
            discard(&mut body, most).await;
        }
        return Err(too_large(most));
    }
    collect(service, &mut body, most, announced).await
}

/// One second more for each of these bytes of a body.
const BYTES_PER_SEC_MIN: usize = 1024;

async fn collect<'s>(
    service: &'s Service,
    body: &mut Body,
    most: usize,
    announced: Option<usize>,
) -> Result<ReadBody<'s>, Problem> {
    let mut counted: Option<SemaphorePermit<'s>> = None;
    let mut first = Bytes::new();
    let mut all: Vec<u8> = Vec::new();
    let limit_secs = service.settings.body_timeout_secs;
    let first_deadline = Instant::now() + Duration::from_secs(limit_secs);
    // A body whose length was announced has ended with its last byte: the end is not waited for.
    while !body.is_end_stream() {
        let grace = Duration::from_secs(((first.len() + all.len()) / BYTES_PER_SEC_MIN) as u64);
        let Ok(frame) = timeout_at(first_deadline + grace, body.frame()).await else {
            let detail =
                format!("the body did not arrive within {limit_secs} s and one more for each KiB");
            return Err(Problem::new(408, "slow-body", detail).closing());
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            Problem::new(400, "body", format!("the body broke off: {error}")).closing()
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let len = first.len() + all.len();
        if len + data.len() > most {
            discard(body, most).await;
            return Err(too_large(most));
        }
        let permits = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let Ok(permit) = service.bodies.try_acquire_many(permits) else {
            let detail = "too many bodies arrive at the same time";
            return Err(Problem::new(429, "bodies", detail).retry_after(1).closing());
        };
        match &mut counted {
            Some(counted) => counted.merge(permit),
            None => counted = Some(permit),
        }
        // Most bodies are one piece: it is not copied.
        if len == 0 {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(announced.unwrap_or(2 * len).min(1 << 20));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    let bytes = if all.is_empty() { first } else { all.into() };
    Ok(ReadBody { bytes, _counted: counted })
}

fn too_large(most: usize) -> Problem {
    Problem::new(413, "body-too-large", format!("the body has more than {most} bytes")).closing()
}

/// Reads on for a moment: closing while bytes arrive would reset the connection and take the answer
/// with it.
async fn discard(body: &mut Body, most: usize) {
    let mut left = most.min(64 << 20);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = rest;
        }
    };
    drop(timeout(Duration::from_secs(1), reading).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::settings::RestSettings;

    /// A body is taken only while all that arrive at the same time have room together.
    #[tokio::test]
    async fn s21_bodies_have_so_much_room_together_and_one_more_is_429() {
        let service = Service::new(RestSettings::default());
        let others = service.bodies.available_permits() - 10;
        let others = service.bodies.try_acquire_many(others as u32).unwrap();
        let read = async |bytes: usize| {
            let body = Body::from(vec![b'1'; bytes]);
            read(&service, &HeaderMap::new(), body).await
        };
        let Err(refused) = read(11).await else { panic!("11 bytes do not fit") };
        assert_eq!(refused.status(), 429);
        assert!(refused.respond("t".into()).headers().contains_key(header::RETRY_AFTER));
        let taken = read(10).await.unwrap_or_else(|_| panic!("ten do"));
        assert_eq!(taken.bytes.len(), 10);
        assert!(read(1).await.is_err(), "as long as somebody has them");
        drop(taken);
        assert!(read(10).await.is_ok(), "and not longer");
        drop(others);
    }

    #[test]
    fn json_of_any_kind_is_taken_and_nothing_else() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/x-ndjson",
            "application/senml+json",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "text/x+json", "application/x-www-form-urlencoded"] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
