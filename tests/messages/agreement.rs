//! The same types twice, by the derive and by serde, and the demand that both say the same.
//!
//! [`agree`] is the body of a fuzz target as well: it takes any bytes.

use std::fmt::Debug;

use serde::{Deserialize, de::DeserializeOwned};
use twinflow::operators::json::{self, FromJson};

/// Declares types by the derive in one module and by serde in another.
macro_rules! twice {
    ($($item:item)*) => {
        #[expect(dead_code, reason = "fields are compared by what Debug writes")]
        pub(crate) mod declared {
            use std::{borrow::Cow, collections::BTreeMap};
            use super::{Level, text};
            use twinflow::TwinMessage;
            $(#[derive(Debug, TwinMessage)] $item)*
            impl Default for Settled {
                fn default() -> Self {
                    Self { speed: 1.5, name: text(), gone: 7 }
                }
            }
        }
        #[expect(dead_code, reason = "fields are compared by what Debug writes")]
        pub(crate) mod by_serde {
            use std::{borrow::Cow, collections::BTreeMap};
            use super::{Level, text};
            use serde::Deserialize;
            $(#[derive(Debug, Deserialize)] $item)*
            impl Default for Settled {
                fn default() -> Self {
                    Self { speed: 1.5, name: text(), gone: 7 }
                }
            }
        }
    };
}

/// A type that only serde knows.
#[derive(Debug, Deserialize)]
pub(crate) enum Level {
    Low,
    #[expect(dead_code, reason = "fields are compared by what Debug writes")]
    High {
        over: f64,
    },
}

pub(crate) fn text() -> String {
    "as it was".to_owned()
}

twice! {
    pub(crate) struct Reading<'m> {
        pub(crate) ts: i64,
        #[serde(default)]
        pub(crate) seq: u64,
        pub(crate) value: f64,
        #[serde(borrow, default)]
        pub(crate) unit: Cow<'m, str>,
        #[serde(borrow, default)]
        pub(crate) src: Cow<'m, str>,
    }

    #[serde(rename_all = "camelCase")]
    pub(crate) struct Everything<'m> {
        pub(crate) byte: i8,
        pub(crate) short_one: Option<i16>,
        pub(crate) word: Option<i32>,
        pub(crate) u_byte: Option<u8>,
        pub(crate) u_short: Option<u16>,
        pub(crate) u_word: Option<u32>,
        pub(crate) u_size: Option<usize>,
        pub(crate) i_size: Option<isize>,
        pub(crate) single: Option<f32>,
        pub(crate) double: Option<f64>,
        pub(crate) yes: Option<bool>,
        pub(crate) borrowed: Option<&'m str>,
        pub(crate) owned: Option<String>,
        #[serde(rename = "type", alias = "kind", alias = "Type")]
        pub(crate) of: Option<u8>,
        #[serde(skip)]
        pub(crate) gone: u8,
        #[serde(default = "text")]
        pub(crate) texted: String,
        #[serde(rename = "qu\"ote")]
        pub(crate) quoted: Option<u8>,
        pub(crate) r#match: Option<u8>,
        #[serde(rename = "grad")]
        pub(crate) degrees: Option<Option<f64>>,
    }

    pub(crate) struct Nested<'m> {
        #[serde(borrow)]
        pub(crate) reading: Option<Reading<'m>>,
        #[serde(borrow, default)]
        pub(crate) readings: Vec<Reading<'m>>,
        #[serde(default)]
        pub(crate) aux: Vec<f64>,
        #[serde(default)]
        pub(crate) texts: Vec<Option<String>>,
        pub(crate) inner: Option<Box<Nested<'m>>>,
        pub(crate) size: Option<Newtype>,
    }

    pub(crate) struct Newtype(pub(crate) u16);

    #[serde(deny_unknown_fields)]
    pub(crate) struct Strict {
        pub(crate) a: u8,
        pub(crate) b: Option<u8>,
    }

    #[serde(default)]
    pub(crate) struct Settled {
        pub(crate) speed: f64,
        pub(crate) name: String,
        #[serde(skip_deserializing)]
        pub(crate) gone: u8,
    }

    pub(crate) struct BySerde {
        pub(crate) map: Option<BTreeMap<String, f64>>,
        pub(crate) numbers: Option<BTreeMap<u8, u8>>,
        pub(crate) pair: Option<(f64, String)>,
        pub(crate) letter: Option<char>,
        pub(crate) big: Option<i128>,
        pub(crate) level: Option<Level>,
        #[serde(default)]
        pub(crate) any: serde_json::Value,
        #[serde(default)]
        pub(crate) levels: Vec<Level>,
    }

    pub(crate) struct Needs {
        pub(crate) map: BTreeMap<String, u8>,
        pub(crate) unit: (),
    }

    #[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
    pub(crate) enum Event<'m> {
        PowerOn,
        #[serde(alias = "hot")]
        Heated { max_degrees: f64, at: Option<u64>, #[serde(borrow, default)] by: Cow<'m, str> },
        #[serde(borrow)]
        Read(Reading<'m>),
        #[serde(rename = "NESTED")]
        Nested(Nested<'m>),
        #[serde(skip)]
        Never,
        Other { level: Option<Level>, map: Option<BTreeMap<u8, u8>>, list: Option<Vec<u8>> },
        #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
        Loud { very_loud: bool, inner: Option<Box<Event<'m>>> },
    }

    #[serde(tag = "t", deny_unknown_fields)]
    pub(crate) enum StrictEvent { A { x: Option<u8> }, B, C(Strict) }
}

/// Reads `payload` both ways.
///
/// # Panics
///
/// One takes it and the other does not, or the values differ.
pub(crate) fn same<'m, D: FromJson<'m> + Debug, S: Deserialize<'m> + Debug>(
    payload: &'m [u8],
) -> bool {
    let of_serde = serde_json::from_slice::<S>(payload);
    let declared = json::from_slice::<D>(payload);
    match (&of_serde, &declared) {
        // Debug writes every bit of a float that matters, and the sign of nought.
        (Ok(expected), Ok(value)) => assert_eq!(
            format!("{value:?}"),
            format!("{expected:?}"),
            "{}",
            String::from_utf8_lossy(payload)
        ),
        (Err(_), Err(_)) => {}
        _ => panic!(
            "{}\n  {payload:?}\n  serde: {of_serde:?}\n  declared: {declared:?}",
            String::from_utf8_lossy(payload)
        ),
    }
    of_serde.is_ok()
}

fn plain<T: for<'m> FromJson<'m> + DeserializeOwned + Debug>(payload: &[u8]) -> bool {
    same::<T, T>(payload)
}

/// Reads `payload` as each of the types in both ways; says how many of them took it.
///
/// # Panics
///
/// The two ways do not agree.
pub(crate) fn agree(payload: &[u8]) -> usize {
    let all = [
        same::<declared::Reading<'_>, by_serde::Reading<'_>>(payload),
        same::<declared::Everything<'_>, by_serde::Everything<'_>>(payload),
        same::<declared::Nested<'_>, by_serde::Nested<'_>>(payload),
        same::<declared::Strict, by_serde::Strict>(payload),
        same::<declared::Settled, by_serde::Settled>(payload),
        same::<declared::BySerde, by_serde::BySerde>(payload),
        same::<declared::Needs, by_serde::Needs>(payload),
        same::<declared::Event<'_>, by_serde::Event<'_>>(payload),
        same::<declared::StrictEvent, by_serde::StrictEvent>(payload),
        plain::<f64>(payload),
        plain::<f32>(payload),
        plain::<i64>(payload),
        plain::<u64>(payload),
        plain::<i8>(payload),
        plain::<bool>(payload),
        plain::<String>(payload),
        plain::<Option<u32>>(payload),
        plain::<Vec<f64>>(payload),
        plain::<Vec<Option<String>>>(payload),
        plain::<Vec<Vec<Box<i32>>>>(payload),
    ];
    all.into_iter().filter(|took| *took).count()
}
