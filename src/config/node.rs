//! The file as a tree in which every value knows where it was written.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

use super::error::Place;

/// Keys and values of a table.
pub(crate) type Table = BTreeMap<String, Node>;

/// A value and where it was written.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    /// The text with its references, where it had any: this is shown, never the value.
    pub(crate) reference: Option<String>,
}

/// Shows what may be shown: what came from elsewhere may be a secret.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.reference, &self.place) {
            (Some(reference), place) => write!(f, "{place}: {reference:?}"),
            (None, Place::Environment(name)) => write!(f, "{name}: ..."),
            (None, place) => write!(f, "{place}: {:?}", self.value),
        }
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A string. `loose`: it came from outside the file, where everything is a string, so it is
    /// read as whatever the key wants.
    /// What came from elsewhere may be a secret, so each text is zeroed when it goes.
    Text { text: Zeroizing<String>, loose: bool },
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Node {
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self { value, place, reference: None }
    }

    pub(crate) fn table(place: Place) -> Self {
        Self::new(Value::Table(Table::new()), place)
    }

    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// What it is, in words, without its value.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text { .. } => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}
