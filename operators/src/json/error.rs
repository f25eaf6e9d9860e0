//! Why a payload could not be read: what, in which field, at which byte.

use std::{borrow::Cow, error::Error as StdError, fmt};

/// Why a payload could not be read. One word long, so that no result grows by it.
pub struct JsonError(Box<Inner>);

struct Inner {
    what: Cow<'static, str>,
    /// Counted from nought, in the whole payload.
    at: usize,
    /// The innermost first.
    path: Vec<Step>,
}

/// One step from the document to the value.
enum Step {
    Field(&'static str),
    Element(usize),
}

impl JsonError {
    /// An error at byte `at`.
    #[cold]
    pub(super) fn new(at: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { what: what.into(), at, path: Vec::new() }))
    }

    /// The same error, with the field that it happened in.
    #[cold]
    #[must_use]
    pub fn in_field(mut self, name: &'static str) -> Self {
        self.0.path.push(Step::Field(name));
        self
    }

    /// The same error, with the element that it happened in.
    #[cold]
    #[must_use]
    pub(super) fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Step::Element(index));
        self
    }

    /// The byte of the payload, counted from nought, at which reading stopped.
    pub fn byte_offset(&self) -> usize {
        self.0.at
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.path.iter().rev().enumerate() {
            match step {
                Step::Field(name) if depth == 0 => write!(f, "{name}")?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Element(index) => write!(f, "[{index}]")?,
            }
        }
        let colon = if self.0.path.is_empty() { "" } else { ": " };
        write!(f, "{colon}{} at byte {}", self.0.what, self.0.at)
    }
}

impl fmt::Debug for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonError({self})")
    }
}

impl StdError for JsonError {}
