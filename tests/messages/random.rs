//! Random documents, and documents that something happened to.

use proptest::{prelude::*, sample::select, strategy::Union};

use crate::{
    agreement::agree,
    corpus::{DOCUMENTS, GOOD},
};

/// Keys that the types have, and some that they do not.
const KEYS: &[&str] = &[
    "ts",
    "seq",
    "value",
    "unit",
    "src",
    "byte",
    "single",
    "double",
    "borrowed",
    "owned",
    "type",
    "kind",
    "aux",
    "texts",
    "reading",
    "readings",
    "inner",
    "size",
    "a",
    "b",
    "map",
    "any",
    "level",
    "maxDegrees",
    "at",
    "by",
    "t",
    "x",
    "",
    "no\\u0065",
    "t\\u0073",
    "long key that nothing has",
];
/// Bytes that mean something.
const BYTES: &[u8] = b"\"\\{}[],:0123456789.-+eEtrufalsn \n\t\0\x1f\x7f\x80\xbf\xc3\xe2\xf0\xff";

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,8})?",
        2 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        1 => any::<f64>().prop_filter("JSON has no other", |f| f.is_finite())
            .prop_map(|f| format!("{f:e}")),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f32>().prop_filter("JSON has no other", |f| f.is_finite())
            .prop_map(|f| f.to_string()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "\"[a-z 0-9:,]{0,30}\"",
        1 => "\"(\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|[ -!#-\\[\\]-~]|\u{e9}|\u{1f600}){0,12}\"",
        1 => "\"(\\\\u[dD][89abAB][0-9a-f]{2}\\\\u[dD][c-fC-F][0-9a-f]{2}|x){0,4}\"",
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 2 => Just(" "), 1 => Just("\n\t \r")]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => number(),
        3 => text(),
        2 => select(GOOD).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let element = (blank(), inner.clone(), blank())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        prop_oneof![
            prop::collection::vec(element, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec((key(), inner), 0..6).prop_map(object),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    (blank(), select(KEYS), blank(), blank())
        .prop_map(|(a, key, b, c)| format!("{a}\"{key}\"{b}:{c}"))
}

fn object(fields: Vec<(String, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().map(|(key, value)| key + &value).collect();
    format!("{{{}}}", fields.join(","))
}

/// A document of one of the types, as likely as not with a value that does not fit.
fn document() -> impl Strategy<Value = String> {
    let given = |keys: &'static [&'static str], values: Vec<BoxedStrategy<String>>| {
        let fields: Vec<_> = keys
            .iter()
            .zip(values)
            .map(|(key, value)| (Just(format!("\"{key}\":")), value).boxed())
            .collect();
        (fields, prop::option::of((key(), value())))
            .prop_map(|(fields, more)| fields.into_iter().chain(more).collect::<Vec<_>>())
            .prop_shuffle()
            .prop_map(object)
    };
    let whole = || "-?[1-9]?[0-9]{0,18}[0-9]".boxed();
    let any_of = |strategies| Union::new_weighted(strategies).boxed();
    let list = prop::collection::vec(number(), 0..5).prop_map(|all| format!("[{}]", all.join(",")));
    Union::new([
        given(
            &["ts", "seq", "value", "unit", "src"],
            vec![whole(), whole(), number().boxed(), text().boxed(), text().boxed()],
        )
        .boxed(),
        given(
            &["byte", "single", "double", "owned", "borrowed"],
            vec![
                any::<i8>().prop_map(|n| n.to_string()).boxed(),
                number().boxed(),
                number().boxed(),
                text().boxed(),
                any_of(vec![(3, text().boxed()), (1, Just("null".to_owned()).boxed())]),
            ],
        )
        .boxed(),
        given(
            &["kind", "maxDegrees", "at", "by"],
            vec![
                select(&["\"heated\"", "\"hot\"", "\"power_on\"", "\"read\"", "\"x\""][..])
                    .prop_map(str::to_owned)
                    .boxed(),
                number().boxed(),
                whole(),
                text().boxed(),
            ],
        )
        .boxed(),
        given(&["aux", "any", "map"], vec![list.boxed(), value().boxed(), value().boxed()]).boxed(),
    ])
}

/// What happens to a payload.
#[derive(Clone, Debug)]
enum Accident {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Put(prop::sample::Index, u8),
    Twice(prop::sample::Index, usize),
}

fn accident() -> impl Strategy<Value = Accident> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0_u8..8).prop_map(|(at, bit)| Accident::Flip(at, bit)),
        (at(), 1_usize..9).prop_map(|(at, len)| Accident::Cut(at, len)),
        (at(), select(BYTES)).prop_map(|(at, byte)| Accident::Put(at, byte)),
        (at(), 1_usize..20).prop_map(|(at, len)| Accident::Twice(at, len)),
    ]
}

fn happen(payload: &mut Vec<u8>, accident: &Accident) {
    if payload.is_empty() {
        return;
    }
    let end = |at: usize, len: usize, payload: &Vec<u8>| (at + len).min(payload.len());
    match *accident {
        Accident::Flip(at, bit) => {
            let at = at.index(payload.len());
            payload[at] ^= 1 << bit;
        }
        Accident::Cut(at, len) => {
            let at = at.index(payload.len());
            payload.drain(at..end(at, len, payload));
        }
        Accident::Put(at, byte) => payload.insert(at.index(payload.len() + 1), byte),
        Accident::Twice(at, len) => {
            let at = at.index(payload.len());
            let again = payload[at..end(at, len, payload)].to_vec();
            payload.splice(at..at, again);
        }
    }
}

// `PROPTEST_CASES` says how many of each there are; 256 without it.
proptest! {
    #[test]
    fn random_values_are_taken_alike(payload in value()) {
        agree(payload.as_bytes());
    }

    #[test]
    fn random_documents_are_taken_alike(payload in document()) {
        agree(payload.as_bytes());
    }

    #[test]
    fn random_numbers_are_taken_alike(payload in number()) {
        prop_assert!(agree(payload.as_bytes()) > 0 || payload.contains(['e', 'E']));
    }

    #[test]
    fn documents_after_an_accident_are_taken_alike(
        payload in prop_oneof![document(), value(), select(DOCUMENTS).prop_map(str::to_owned)],
        accidents in prop::collection::vec(accident(), 1..4),
    ) {
        let mut payload = payload.into_bytes();
        accidents.iter().for_each(|accident| happen(&mut payload, accident));
        agree(&payload);
    }
}
