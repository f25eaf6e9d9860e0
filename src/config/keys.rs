//! The keys of a settings type, without a schema.

use serde::de::{self, DeserializeOwned, Error as _, Visitor};

/// The keys that a settings type reads, asked of its own `Deserialize`; empty when it has none or
/// does not say (a type with `flatten`).
pub(crate) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    let asked = T::deserialize(AskKeys(&mut keys));
    debug_assert!(asked.is_err() || keys.is_empty(), "the question has no answer but an error");
    keys
}

struct AskKeys<'k>(&'k mut &'static [&'static str]);

impl<'de> de::Deserializer<'de> for AskKeys<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::value::Error::custom("asked for its keys only"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Two {
        #[expect(dead_code, reason = "only its name counts")]
        first: u8,
        #[expect(dead_code, reason = "only its name counts")]
        #[serde(default)]
        second: Option<String>,
    }

    #[test]
    fn a_struct_says_its_keys_and_others_say_none() {
        assert_eq!(keys_of::<Two>(), ["first", "second"]);
        assert!(keys_of::<u64>().is_empty());
        assert!(keys_of::<()>().is_empty());
    }
}
