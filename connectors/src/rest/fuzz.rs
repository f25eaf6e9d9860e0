//! What callers send, as targets.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{body, fetch, ndjson, payloads::payloads, settings::RestSettings, time::source_time};
use crate::fuzz::Target;

pub(crate) fn targets() -> Vec<Target> {
    let own = [
        Target {
            name: "rest_body",
            files: &["connectors/src/rest/payloads.rs", "connectors/src/rest/depth.rs"],
            run: rest_body,
            seeds: bodies,
        },
        Target {
            name: "rest_lines",
            files: &["connectors/src/rest/ndjson.rs", "connectors/src/rest/time.rs"],
            run: rest_lines,
            seeds: || vec![lines(1), lines(3)],
        },
        Target {
            name: "rest_acknowledgement",
            files: &["connectors/src/rest/fetch.rs"],
            run: |bytes| {
                let _through = fetch::through(bytes).is_ok();
            },
            seeds: || vec![b"{\"through\":\"1f-7-3\"}".to_vec()],
        },
        // Headers as lines of a name, a colon and a value.
        Target {
            name: "rest_headers",
            files: &["connectors/src/rest/body.rs"],
            run: rest_headers,
            seeds: || {
                let headers = "content-type:application/json; charset=utf-8\ncontent-length:12\n\
                               idempotency-key:a-1\ncontent-encoding:identity\n";
                vec![headers.into()]
            },
        },
    ];
    own.into_iter().chain(super::access::TARGETS).collect()
}

fn bodies() -> Vec<Vec<u8>> {
    let deep = format!("[{}{}]", "[".repeat(64), "]".repeat(64));
    vec![
        b"{\"bearing_celsius\":96.0,\"tags\":[\"a\",\"\\u00e9\\\"\"],\"n\":null}".to_vec(),
        b" [1, {\"a\":[true,false]}, \"x\\\\\", -1.5e-3 ]\n".to_vec(),
        deep.into(),
    ]
}

fn rest_body(bytes: &[u8]) {
    let settings = RestSettings::default();
    if let Ok((payloads, is_array)) = payloads(bytes, &settings) {
        assert!(is_array || payloads.len() == 1);
        let inside: usize = payloads.iter().map(|payload| payload.get().len()).sum();
        assert!(inside <= bytes.len() && payloads.len() <= settings.lines_max);
    }
}

fn lines(count: usize) -> Vec<u8> {
    let line = "{\"model\":\"m\",\"twin\":\"t\\u00e9\",\"id\":\"i\",\
                \"time\":\"2026-01-31T12:00:00.5+01:30\",\"payload\":{\"a\":[1]}}\n\n";
    line.repeat(count).into_bytes()
}

fn rest_lines(bytes: &[u8]) {
    let settings = RestSettings::default();
    for line in ndjson::lines(&settings, bytes).into_iter().flatten().flatten() {
        let _time = line.time.map(|time| source_time(time.get()));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _time = source_time(text).is_ok();
        let _quoted = source_time(&format!("\"{text}\"")).is_ok();
    }
}

fn rest_headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(100) {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(at + 1..).unwrap_or_default();
        let name = HeaderName::from_bytes(&line[..at]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let _allowed = body::check_headers(&headers).is_ok();
    let _key = body::idempotency_key(&headers).is_ok();
}
