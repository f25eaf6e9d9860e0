use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serializer;

use super::*;

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

proptest! {
    #[test]
    fn nothing_is_longer_than_its_bound(value in values()) {
        let encoded = rmp_serde::to_vec_named(&value).unwrap();
        if let Some(bound) = bound(&value) {
            prop_assert!(encoded.len() <= bound, "{} bytes, bound {bound}", encoded.len());
            prop_assert!(bound <= 9 * encoded.len() + HEAD, "{} to {bound}", encoded.len());
        }
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
    assert!(rmp_serde::to_vec_named(&Nested(70)).is_ok());
    assert!(rmp_serde::to_vec_named(&vec![Unwilling]).is_err());
}

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
