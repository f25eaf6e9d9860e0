//! A message type that derives `TwinMessage` beside the same type by serde: any bytes, and both say
//! the same.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use serde::Deserialize;
use twinflow_operators::{fuzz::Target, json};

/// Declares the types once by the derive and once by serde.
macro_rules! twice {
    ($($item:item)*) => {
        #[expect(dead_code, reason = "fields are compared by what Debug writes")]
        mod declared {
            use super::{BTreeMap, Cow};
            $(#[derive(Debug, crate::TwinMessage)] $item)*
        }
        #[expect(dead_code, reason = "fields are compared by what Debug writes")]
        mod by_serde {
            use super::{BTreeMap, Cow};
            $(#[derive(Debug, serde::Deserialize)] $item)*
        }
    };
}

twice! {
    #[serde(rename_all = "camelCase")]
    pub(super) struct Reading<'m> {
        at: i64,
        value: f64,
        single: Option<f32>,
        byte: Option<i8>,
        count: Option<u64>,
        yes: Option<bool>,
        #[serde(borrow, default)]
        unit: Cow<'m, str>,
        borrowed: Option<&'m str>,
        owned: Option<String>,
        list: Option<Vec<f64>>,
        map: Option<BTreeMap<String, u8>>,
        #[serde(borrow)]
        inner: Option<Box<Reading<'m>>>,
        #[serde(borrow)]
        event: Option<Event<'m>>,
    }

    #[serde(tag = "kind", rename_all = "snake_case")]
    pub(super) enum Event<'m> {
        PowerOn,
        Heated { degrees: f64, #[serde(borrow, default)] by: Cow<'m, str> },
    }
}

/// The parser of declared message types.
pub(super) const TARGET: Target = Target {
    name: "declared_message",
    files: &[
        "operators/src/json/block.rs",
        "operators/src/json/fallback.rs",
        "operators/src/json/number.rs",
        "operators/src/json/text.rs",
    ],
    run: declared_message,
    seeds: || {
        let all = r#"{"at":-17,"value":1.5e-7,"single":0.1,"byte":-128,"count":18446744073709551615,
            "yes":true,"unit":"\u00b0C","borrowed":"plain","owned":"a\n\ud83d\ude00","more":[{}],
            "list":[1,2.25,123456789012345678e-5],"map":{"a":1},"inner":{"at":0,"value":-0.0},
            "event":{"degrees":90,"kind":"heated","by":"sun"}}"#;
        let short = r#"{"at":1,"value":2,"event":{"kind":"power_on"}}"#;
        vec![all.into(), short.into()]
    },
};

fn declared_message(bytes: &[u8]) {
    same(json::from_slice::<declared::Reading<'_>>(bytes), by::<by_serde::Reading<'_>>(bytes));
}

fn by<'m, T: Deserialize<'m>>(bytes: &'m [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}

fn same<A: Debug, B: Debug, E: Debug>(declared: Result<A, E>, of_serde: serde_json::Result<B>) {
    match (&declared, &of_serde) {
        // Debug writes every bit of a float that matters, and the sign of nought.
        (Ok(declared), Ok(of_serde)) => {
            assert_eq!(format!("{declared:?}"), format!("{of_serde:?}"));
        }
        (Err(_), Err(_)) => {}
        _ => panic!("declared: {declared:?}, by serde: {of_serde:?}"),
    }
}
