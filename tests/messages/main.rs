//! Derived messages beside serde: the same payloads are taken, with the same values.

use std::borrow::Cow;

use twinflow::{operators::json::from_slice, prelude::*};

#[derive(Debug, PartialEq, TwinMessage)]
struct Reading<'m> {
    ts: i64,
    #[serde(default)]
    seq: u64,
    value: f64,
    #[serde(default)]
    unit: Cow<'m, str>,
    #[serde(default)]
    status: Cow<'m, str>,
    #[serde(default)]
    src: Cow<'m, str>,
}

#[test]
fn a_message_is_read() {
    let payload =
        br#"{"ts":1700000000000,"seq":7,"value":68.66,"unit":"A","status":"ok","src":"e quick"}"#;
    let reading: Reading<'_> = from_slice(payload).unwrap();
    assert_eq!((reading.ts, reading.seq, reading.value), (1_700_000_000_000, 7, 68.66));
    assert!(matches!(reading.src, Cow::Borrowed("e quick")));
}
