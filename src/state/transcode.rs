//! From a stored state, which is MessagePack, to JSON and back to the very same bytes.

use rmpv::Value;

/// The state as JSON, if that says all of it: the way back gives the same bytes.
///
/// What JSON has no word for (bytes, floats of 32 bits, keys that are no text, numbers that a
/// reader rounds) has none.
pub(super) fn to_json(stored: &[u8]) -> Option<String> {
    let mut rest = stored;
    let value = rmpv::decode::read_value(&mut rest).ok().filter(|_| rest.is_empty())?;
    let json = serde_json::to_string(&value).ok()?;
    (from_json(&json)? == stored).then_some(json)
}

/// The stored form of what [`to_json`] gave.
pub(super) fn from_json(json: &str) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_str(json).ok()?;
    let mut stored = Vec::with_capacity(json.len());
    rmpv::encode::write_value(&mut stored, &value).ok()?;
    Some(stored)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    fn stored(state: &impl Serialize) -> Vec<u8> {
        rmp_serde::to_vec_named(state).unwrap()
    }

    #[derive(Serialize)]
    enum Kind {
        Plain,
        With { field: Option<i8> },
    }

    #[derive(Serialize)]
    struct Usual {
        zebra: u64,
        apple: i64,
        text: String,
        float: f64,
        list: Vec<Kind>,
        map: BTreeMap<String, bool>,
        unit: (),
    }

    #[test]
    fn a_usual_state_is_told_in_json_with_its_fields_in_order() {
        let usual = Usual {
            zebra: u64::MAX,
            apple: i64::MIN,
            text: "a \"quoted\"\nline \u{fc}".into(),
            float: 95.5,
            list: vec![Kind::Plain, Kind::With { field: Some(-1) }, Kind::With { field: None }],
            map: BTreeMap::from([("k".into(), true)]),
            unit: (),
        };
        let bytes = stored(&usual);
        let json = to_json(&bytes).unwrap();
        assert!(json.starts_with(r#"{"zebra":18446744073709551615,"apple":-9"#), "{json}");
        assert!(!json.contains('\n'), "one line");
        assert_eq!(from_json(&json), Some(bytes));
    }

    #[test]
    fn what_json_cannot_say_is_not_said() {
        let cannot = [
            stored(&1.5f32),
            stored(&f64::NAN),
            rmp_serde::to_vec(&serde_json::json!([1, 2])).unwrap()[..1].to_vec(),
            stored(&BTreeMap::from([(7u8, 1u8)])),
            b"\xc4\x02ab".to_vec(),
            b"\xcc\x05".to_vec(),
            [stored(&1u8), stored(&2u8)].concat(),
        ];
        for bytes in cannot {
            assert_eq!(to_json(&bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_come_back_as_others(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(json) = to_json(&bytes) {
                prop_assert_eq!(from_json(&json), Some(bytes));
            }
        }
    }
}
