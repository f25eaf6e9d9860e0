//! How deep JSON is nested, told before any of it is read.

/// Whether a text opens more than `most` objects and lists within each other. Of a text that is no
/// JSON the answer holds up to the place at which a reader gives up.
pub(super) fn is_deeper(json: &[u8], most: usize) -> bool {
    // A text with few brackets cannot be deep, wherever they stand: that is nearly every message,
    // and costs a tenth of a look at each byte.
    brackets(json) > most && deepest(json, most)
}

/// Opening brackets of both kinds, those within strings too.
fn brackets(json: &[u8]) -> usize {
    // `{` and `[` differ in one bit. Short pieces keep the counts in bytes, many at once.
    let count = |piece: &[u8]| piece.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    json.chunks(128).map(|piece| usize::from(count(piece))).sum()
}

fn deepest(json: &[u8], most: usize) -> bool {
    let (mut depth, mut bytes) = (0_usize, json.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' if depth == most => return true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

/// Passes the rest of a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The same, by somebody else's reading of it.
    fn levels(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Value::from), texts().prop_map(Value::from)];
        leaf.prop_recursive(12, 60, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((texts(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// Strings that look like structure.
    fn texts() -> impl Strategy<Value = String> {
        let part =
            proptest::sample::select(&["{", "[", "]", "}", "\"", "\\", "\\\"", "a", "\u{e9}"]);
        proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn it_is_as_deep_as_its_tree(value in value(), pretty in any::<bool>()) {
            let text =
                if pretty { format!("{value:#}") } else { value.to_string() };
            let levels = levels(&value);
            prop_assert!(!is_deeper(text.as_bytes(), levels), "{text}");
            prop_assert!(levels == 0 || is_deeper(text.as_bytes(), levels - 1), "{text}");
        }
    }

    #[test]
    fn brackets_in_strings_open_nothing_and_a_backslash_hides_a_quote() {
        let open = "[".repeat(300);
        assert!(is_deeper(open.as_bytes(), 299) && !is_deeper(open.as_bytes(), 300));
        let text = format!("[\"{open}\",\"\\\"{open}\\\\\",{{\"{open}\":1}}]");
        assert!(is_deeper(text.as_bytes(), 1) && !is_deeper(text.as_bytes(), 2));
        let flat = "[],".repeat(300);
        assert!(is_deeper(flat.as_bytes(), 0) && !is_deeper(flat.as_bytes(), 1));
    }
}
