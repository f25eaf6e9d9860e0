//! Values of types that only serde knows.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor, value::Error as ValueError},
    forward_to_deserialize_any,
};

use super::{
    error::JsonError,
    reader::Reader,
    skip::{self, LOOSELY},
};

/// Reads the value that stands here by `serde_json`; with what follows it.
pub(super) fn by_serde<'de, T: Deserialize<'de>>(
    mut reader: Reader<'de>,
) -> Result<(T, &'de [u8]), JsonError> {
    reader.blank();
    let skipped = skip::value::<LOOSELY>(reader)?;
    // `serde_json` sees the value alone and would count from its own start.
    if skipped.deepest >= usize::from(reader.levels) {
        return Err(reader.error("more arrays and objects in each other than 127"));
    }
    let value = skip::between(reader.rest, skipped.rest);
    let result = if reader.buffered {
        serde_json::from_slice(value).map(|Buffered::Value(value)| value)
    } else {
        serde_json::from_slice(value)
    };
    result.map(|value| (value, skipped.rest)).map_err(|error| {
        // What was held back fails without a reason of its own.
        let reason =
            if reader.buffered { reason_of::<T>(value) } else { format!("{error} of the value") };
        JsonError::new(reader.at(), reason)
    })
}

/// Why a value cannot be read inside of a tagged enum.
#[cold]
fn reason_of<'de, T: Deserialize<'de>>(value: &'de [u8]) -> String {
    match serde_json::from_slice::<T>(value) {
        Ok(_) => "serde cannot read this type inside of a tagged enum".to_owned(),
        Err(error) => format!("{error} of the value"),
    }
}

/// What serde reads inside of a tagged enum it has held back before, and some types can then not be
/// read that otherwise can (a map with keys that are numbers). Held back here as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum Buffered<T> {
    Value(T),
}

/// The value of a field that is missing, if its type allows that: as serde's derive finds it.
pub(super) fn absent<'de, T: Deserialize<'de>>() -> Option<T> {
    T::deserialize(Absent).ok()
}

/// Nothing: only an option can be made of it.
struct Absent;

impl<'de> Deserializer<'de> for Absent {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ValueError> {
        Err(ValueError::custom("missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
