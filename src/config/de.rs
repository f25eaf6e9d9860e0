//! Reads settings types from the tree; every error knows its place and its key path.
//!
//! Unknown keys are refused here, whether or not the type says so: a key that nobody reads is a
//! setting that somebody believes in.

use std::fmt::Display;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor, value::StrDeserializer,
};

use super::{
    error::ConfigError,
    near::suggest,
    node::{Node, Table, Value},
    parse::parse_value,
};

/// Reads a value of a settings type.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, ConfigError> {
    T::deserialize(node).map_err(|error| placed(error, node))
}

fn placed(error: ConfigError, node: &Node) -> ConfigError {
    let error = if node.reference.is_some() { error.hiding() } else { error };
    error.at(&node.place)
}

impl de::Error for ConfigError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let what = match found {
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Signed(value) => value.to_string(),
            Unexpected::Unsigned(value) => value.to_string(),
            Unexpected::Float(value) => value.to_string(),
            Unexpected::Str(text) => format!("the string \"{text}\""),
            other => other.to_string(),
        };
        Self::found(what, format!("expected {}", in_words(&expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        Self::found(format!("\"{variant}\""), format!("expected {}", known.join(" or ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key{}", suggest(field, expected, "known keys"))).below(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key \"{field}\" is missing"))
    }
}

/// Rust's words for what a settings type wants, as a person would say it.
fn in_words(expected: &str) -> String {
    let most: Option<u64> = match expected {
        "u8" => Some(u64::from(u8::MAX)),
        "u16" => Some(u64::from(u16::MAX)),
        "u32" => Some(u64::from(u32::MAX)),
        _ => None,
    };
    match (expected, most) {
        (_, Some(most)) => format!("a whole number from 0 to {most}"),
        ("u64" | "usize", _) => "a whole number, 0 or more".into(),
        ("i8" | "i16" | "i32" | "i64" | "isize", _) => "a whole number".into(),
        ("f32" | "f64", _) => "a number".into(),
        ("a boolean", _) => "true or false".into(),
        ("a sequence", _) => "a list".into(),
        (other, _) if other.starts_with("struct ") || other == "a map" => "a table".into(),
        (other, _) => other.into(),
    }
}

/// Methods for types that a loose text is parsed for.
macro_rules! parsed {
    ($($method:ident $type:ty => $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            match &self.value {
                Value::Text { text, loose: true } => match text.trim().parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => self.deserialize_any(visitor),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.value {
            Value::Text { text, .. } => visitor.visit_borrowed_str(text),
            Value::Integer(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::List(list) => visitor.visit_seq(List(list.iter().enumerate())),
            Value::Table(table) => visitor.visit_map(Entries::of(table)),
        }
    }

    parsed! {
        deserialize_bool bool => visit_bool
        deserialize_i8 i64 => visit_i64
        deserialize_i16 i64 => visit_i64
        deserialize_i32 i64 => visit_i64
        deserialize_i64 i64 => visit_i64
        deserialize_u8 u64 => visit_u64
        deserialize_u16 u64 => visit_u64
        deserialize_u32 u64 => visit_u64
        deserialize_u64 u64 => visit_u64
        deserialize_f32 f64 => visit_f64
        deserialize_f64 f64 => visit_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.as_table() {
            Some(table) => match table.iter().next() {
                Some((key, node)) => Err(unknown_key(key, node, &[])),
                None => visitor.visit_unit(),
            },
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.loose().filter(|node| matches!(node.value, Value::List(_))) {
            Some(node) => visitor.visit_seq(OwnedList(node)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        if let Some((key, node)) =
            self.as_table().and_then(|table| table.iter().find(|(key, _)| !has(fields, key)))
        {
            return Err(unknown_key(key, node, fields));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        match &self.value {
            Value::Text { text, .. } => {
                let text: StrDeserializer<'_, ConfigError> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            Value::Table(table) if table.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries::of(table)))
            }
            _ => Err(ConfigError::invalid_type(unexpected(self), &"a string")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ConfigError> {
        Err(ConfigError::new("unknown key"))
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf tuple tuple_struct map identifier
    }
}

fn has(fields: &[&str], key: &str) -> bool {
    fields.contains(&key)
}

fn unknown_key(key: &str, node: &Node, fields: &[&str]) -> ConfigError {
    let known = suggest(key, fields, "known keys");
    ConfigError::new(format!("unknown key{known}")).below(key).at(&node.place)
}

fn unexpected(node: &Node) -> Unexpected<'_> {
    match &node.value {
        Value::Text { text, .. } => Unexpected::Str(text),
        Value::Integer(value) => Unexpected::Signed(*value),
        Value::Float(value) => Unexpected::Float(*value),
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::List(_) => Unexpected::Seq,
        Value::Table(_) => Unexpected::Map,
    }
}

impl Node {
    /// The value that a loose text writes in TOML.
    fn loose(&self) -> Option<Node> {
        match &self.value {
            Value::Text { text, loose: true } => parse_value(text, &self.place),
            _ => None,
        }
    }
}

struct List<'n>(std::iter::Enumerate<std::slice::Iter<'n, Node>>);

impl<'n> SeqAccess<'n> for List<'n> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(node);
        read.map(Some).map_err(|error| placed(error, node).below(index.to_string()))
    }
}

/// The elements of a list that was only made for this reading; it gives what needs no borrow.
struct OwnedList(Node);

impl<'de> SeqAccess<'de> for OwnedList {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        let Value::List(list) = &mut self.0.value else { return Ok(None) };
        if list.is_empty() {
            return Ok(None);
        }
        match list.remove(0).value {
            Value::Text { text, .. } => {
                seed.deserialize(text.as_str().into_deserializer()).map(Some)
            }
            Value::Integer(value) => seed.deserialize(value.into_deserializer()).map(Some),
            Value::Float(value) => seed.deserialize(value.into_deserializer()).map(Some),
            Value::Bool(value) => seed.deserialize(value.into_deserializer()).map(Some),
            _ => Err(ConfigError::custom("a list in the environment holds plain values only")),
        }
    }
}

struct Entries<'n> {
    rest: std::collections::btree_map::Iter<'n, String, Node>,
    value: Option<(&'n str, &'n Node)>,
}

impl<'n> Entries<'n> {
    fn of(table: &'n Table) -> Self {
        Self { rest: table.iter(), value: None }
    }
}

impl<'n> MapAccess<'n> for Entries<'n> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'n>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ConfigError> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, node));
        let key = seed.deserialize(de::value::BorrowedStrDeserializer::new(key));
        key.map(Some).map_err(|error: ConfigError| error.at(&node.place))
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ConfigError> {
        let (key, node) = self.value.take().expect("serde asks for a key first");
        seed.deserialize(node).map_err(|error| placed(error, node).below(key))
    }
}
