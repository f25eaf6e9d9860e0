use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Serializer, ser};

use super::{
    sinks::{HEAD, NUMBER},
    *,
};

#[derive(Clone, Debug, Serialize)]
enum Value {
    Unit,
    Number(i64),
    Large(u64),
    Real(f64),
    Pair(f32, bool),
    Named { text: String, sign: char },
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Maybe(Option<Box<Value>>),
    Wide(u128, [u8; 3], ()),
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Unit),
        any::<i64>().prop_map(Value::Number),
        any::<u64>().prop_map(Value::Large),
        any::<f64>().prop_map(Value::Real),
        any::<(f32, bool)>().prop_map(|(real, sure)| Value::Pair(real, sure)),
        any::<(String, char)>().prop_map(|(text, sign)| Value::Named { text, sign }),
        any::<(u128, [u8; 3])>().prop_map(|(wide, three)| Value::Wide(wide, three, ())),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
            prop::collection::btree_map(".*", inner.clone(), 0..8).prop_map(Value::Map),
            prop::option::of(inner.prop_map(Box::new)).prop_map(Value::Maybe),
        ]
    })
}

fn written<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = b"before".to_vec();
    write(&mut bytes, value).unwrap();
    bytes.split_off(6)
}

proptest! {
    #[test]
    fn what_is_written_is_what_rmp_serde_writes(value in values()) {
        prop_assert_eq!(written(&value), rmp_serde::to_vec_named(&value).unwrap());
    }

    #[test]
    fn every_number_has_its_shortest_form(bits in 0..64_u32, number: i64, small: i32) {
        let numbers = (number >> bits, (number as u64) >> bits, small >> (bits / 2));
        prop_assert_eq!(written(&numbers), rmp_serde::to_vec_named(&numbers).unwrap());
    }

    #[test]
    fn nothing_is_longer_than_its_bound(value in values()) {
        let encoded = rmp_serde::to_vec_named(&value).unwrap();
        if let Some(bound) = bound(&value) {
            prop_assert!(encoded.len() <= bound, "{} bytes, bound {bound}", encoded.len());
            prop_assert!(bound <= 9 * encoded.len() + HEAD, "{} to {bound}", encoded.len());
        }
    }
}

#[test]
fn heads_are_right_where_they_become_longer() {
    for len in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        let text = "x".repeat(len);
        assert_eq!(written(&text), rmp_serde::to_vec_named(&text).unwrap(), "{len}");
        let list = vec![(); len];
        assert_eq!(written(&list), rmp_serde::to_vec_named(&list).unwrap(), "{len}");
        let map: BTreeMap<usize, bool> = (0..len).map(|at| (at, at % 2 == 0)).collect();
        assert_eq!(written(&map), rmp_serde::to_vec_named(&map).unwrap(), "{len}");
        let bytes = Bytes(text.into_bytes());
        assert_eq!(written(&bytes), rmp_serde::to_vec_named(&bytes).unwrap(), "{len}");
    }
}

struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// A list in a list in a list.
struct Nested(usize);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_unit(),
            deeper => [Self(deeper - 1)].serialize(serializer),
        }
    }
}

/// What `serde` writes as a map of unknown length.
#[derive(Serialize)]
struct Flat {
    first: u8,
    #[serde(flatten)]
    more: BTreeMap<String, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<i16>,
}

struct Unwilling;

impl Serialize for Unwilling {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("not today"))
    }
}

#[test]
fn what_is_not_known_is_left_to_the_real_one() {
    assert_eq!(bound(&Nested(60)), Some(60 * HEAD + 1));
    assert_eq!(bound(&Nested(70)), None);
    assert_eq!(bound(&vec![Unwilling]), None);
    assert_eq!(written(&Nested(70)), rmp_serde::to_vec_named(&Nested(70)).unwrap());
    let error = write(&mut Vec::new(), &vec![Unwilling]).unwrap_err().to_string();
    assert_eq!(error, rmp_serde::to_vec_named(&vec![Unwilling]).unwrap_err().to_string());
    for last in [None, Some(-200)] {
        let flat = Flat { first: 1, more: BTreeMap::from([("a".to_owned(), 0.5)]), last };
        assert_eq!(written(&flat), rmp_serde::to_vec_named(&flat).unwrap());
    }
    let extension = Extension((3, Bytes(vec![1, 2])));
    assert_eq!(written(&extension), rmp_serde::to_vec_named(&extension).unwrap());
}

/// What `rmp-serde` knows by its name.
#[derive(Serialize)]
#[serde(rename = "_ExtStruct")]
struct Extension((i8, Bytes));

#[test]
fn a_plain_struct_costs_its_fields() {
    #[derive(Serialize)]
    struct Plain {
        count: u64,
        last: Option<f64>,
    }
    let plain = Plain { count: 7, last: Some(0.5) };
    assert_eq!(bound(&plain), Some(HEAD + (HEAD + 5 + NUMBER) + (HEAD + 4 + NUMBER)));
}
