//! One value out of a JSON text by its pointer, without making a tree of the rest.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// A JSON pointer (RFC 6901), taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer; the error completes "the pointer ... ".
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let Some(parts) = text.strip_prefix('/') else {
            return Err(format!("\"{text}\" is no JSON pointer to a value; write \"/id\""));
        };
        let part = |part: &str| part.replace("~1", "/").replace("~0", "~");
        Ok(Self(parts.split('/').map(part).collect()))
    }

    /// The text or whole number at the place, put into `found`; the error is a sentence.
    pub(crate) fn find(&self, json: &[u8], found: &mut String) -> Result<(), String> {
        found.clear();
        let mut reader = serde_json::Deserializer::from_slice(json);
        let seed = At { path: &self.0, found };
        let there = seed.deserialize(&mut reader).and_then(|there| reader.end().map(|()| there));
        match there {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("there is nothing at {self}")),
            Err(error) if error.is_data() => Err(format!("at {self} is {error}")),
            Err(error) => Err(format!("the payload is no JSON: {error}")),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

/// What is left of the path, and where the value goes.
struct At<'p, 'f> {
    path: &'p [String],
    found: &'f mut String,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        self.found.push_str(text);
        Ok(self.path.is_empty())
    }

    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        self.found.push_str(&number.to_string());
        Ok(self.path.is_empty())
    }

    fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
        self.found.push_str(&number.to_string());
        Ok(self.path.is_empty())
    }

    fn visit_f64<E: serde::de::Error>(self, _number: f64) -> Result<bool, E> {
        self.neither("a fraction")
    }

    fn visit_bool<E: serde::de::Error>(self, _value: bool) -> Result<bool, E> {
        self.neither("a truth value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(A::Error::custom("an object, not a text or a whole number"));
        };
        let mut there = false;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key.as_ref() == first {
                self.found.clear();
                there = map.next_value_seed(At { path: rest, found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(there)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(A::Error::custom("a list, not a text or a whole number"));
        };
        let (wanted, mut there, mut index) = (first.parse::<usize>().ok(), false, 0);
        loop {
            if wanted == Some(index) {
                let seed = At { path: rest, found: self.found };
                match list.next_element_seed(seed)? {
                    Some(found) => there = found,
                    None => return Ok(there),
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(there);
            }
            index += 1;
        }
    }
}

impl At<'_, '_> {
    fn neither<E: serde::de::Error>(self, what: &str) -> Result<bool, E> {
        if !self.path.is_empty() {
            return Ok(false);
        }
        Err(E::custom(format_args!("{what}, not a text or a whole number")))
    }
}

/// A pointer in the first line, JSON behind it.
#[cfg(feature = "testing")]
pub(crate) fn fuzz_targets() -> Vec<crate::fuzz::Target> {
    fn run(bytes: &[u8]) {
        let Some((pointer, json)) = crate::fuzz::two_texts(bytes) else { return };
        let mut found = String::new();
        if let Ok(pointer) = Pointer::new(pointer) {
            let _there = pointer.find(json.as_bytes(), &mut found).is_ok();
        }
    }
    vec![crate::fuzz::Target {
        name: "pointer",
        files: &["connectors/src/pointer.rs"],
        run,
        seeds: || vec![b"/a/1/id\n{\"a\":[1,{\"id\":\"x\\ty\"}],\"b\":{\"c\":[[]]}}".to_vec()],
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pointer: &str, json: &str) -> Result<String, String> {
        let mut found = String::new();
        Pointer::new(pointer)?.find(json.as_bytes(), &mut found).map(|()| found)
    }

    #[test]
    fn it_finds_texts_and_whole_numbers_at_any_depth() {
        let json = r#"{"a":[1,{"id":"x\ty"}],"b/c":7,"n":-3,"id":"top","d":{}}"#;
        assert_eq!(find("/a/1/id", json).unwrap(), "x\ty");
        assert_eq!(find("/b~1c", json).unwrap(), "7");
        assert_eq!(find("/n", json).unwrap(), "-3");
        assert_eq!(find("/id", json).unwrap(), "top");
        assert_eq!(find("/id", r#"{"id":"old","id":"new"}"#).unwrap(), "new", "as serde_json");
    }

    #[test]
    fn what_is_not_there_or_no_id_is_said() {
        for (pointer, json, says) in [
            ("/x", r#"{"a":1}"#, "nothing at /x"),
            ("/a/b", r#"{"a":1}"#, "nothing at /a/b"),
            ("/a", r#"{"a":null}"#, "nothing at /a"),
            ("/a", r#"{"a":1.5}"#, "a fraction"),
            ("/a", r#"{"a":{}}"#, "an object"),
            ("/a", r#"{"a":1"#, "no JSON"),
            ("/a", r#"{"a":1} x"#, "no JSON"),
            ("/a/9", r#"{"a":[1]}"#, "nothing at /a/9"),
            ("a", "{}", "no JSON pointer"),
            ("", "{}", "no JSON pointer"),
        ] {
            let error = find(pointer, json).unwrap_err();
            assert!(error.contains(says), "{pointer} in {json}: {error}");
        }
    }
}
