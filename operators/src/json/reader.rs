//! A place in a JSON document.
//!
//! A reader is copied rather than lent to whatever is not inlined: lent, it would live in memory,
//! and each token would wait for the place of the one before to come back from there (4-5 cycles a
//! token).

use super::{FromJson, error::JsonError};

/// How many arrays and objects may be open at once, and one more: as `serde_json` counts.
pub(super) const LEVELS: u8 = 128;

/// A place in a JSON document, and how much deeper it may go.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'de> {
    /// What has not been read. A slice and not a place in one: going past what was just looked at
    /// then needs no second check of bounds.
    pub(super) rest: &'de [u8],
    /// How long the whole document is.
    pub(super) len: usize,
    pub(super) levels: u8,
    /// Whether the array or object that it is in has had its first element or key.
    pub(super) started: bool,
    /// Inside of a tagged enum, where serde reads everything before it knows what for.
    pub(super) buffered: bool,
}

/// What [`Reader::open`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// An object: fields by their names.
    Object,
    /// An array: fields by their places.
    Array,
}

impl<'de> Reader<'de> {
    /// At the start of a document.
    #[inline(always)]
    pub fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, len: bytes.len(), levels: LEVELS, started: false, buffered: false }
    }

    /// The byte here; nought, which JSON has nowhere, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        match self.rest.first() {
            Some(byte) => *byte,
            None => 0,
        }
    }

    /// How many bytes were read.
    #[inline(always)]
    pub(super) fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Goes past `count` bytes.
    #[inline(always)]
    pub(super) fn pass(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Goes past what is blank.
    #[inline(always)]
    pub(super) fn blank(&mut self) {
        if self.peek() <= b' ' {
            self.rest = past_blank(self.rest);
        }
    }

    /// Goes past `token` if it stands here.
    #[inline(always)]
    pub(super) fn take<const N: usize>(&mut self, token: &[u8; N]) -> bool {
        match self.rest.split_first_chunk() {
            Some((here, rest)) if here == token => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads a value with a reader of its own: this one need not be in memory, and what it knows of
    /// the array or object that it is in stays.
    ///
    /// # Errors
    ///
    /// What stands here is no such value.
    #[inline(always)]
    pub fn read<T: FromJson<'de>>(&mut self) -> Result<T, JsonError> {
        let mut inner = *self;
        let value = T::from_json(&mut inner)?;
        self.rest = inner.rest;
        Ok(value)
    }

    /// Enters an array or an object.
    #[inline(always)]
    pub(super) fn enter(&mut self) -> Result<(), JsonError> {
        self.pass(1);
        self.levels = self.levels.saturating_sub(1);
        self.started = false;
        if self.levels == 0 {
            return Err(self.error("more arrays and objects in each other than 127"));
        }
        Ok(())
    }

    /// Enters what stands for a struct: an object, or an array of its fields.
    ///
    /// # Errors
    ///
    /// Neither stands here, or it is one too deep.
    #[inline(always)]
    pub fn open(&mut self) -> Result<Opened, JsonError> {
        self.blank();
        let opened = match self.peek() {
            b'{' => Opened::Object,
            b'[' => Opened::Array,
            _ => return Err(self.expected("an object")),
        };
        self.enter()?;
        Ok(opened)
    }

    /// The end of the document, with what is blank before it.
    ///
    /// # Errors
    ///
    /// Something follows.
    #[inline(always)]
    pub fn end(mut self) -> Result<(), JsonError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.blank();
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("something follows the value")) }
    }

    /// An error here.
    #[cold]
    pub(super) fn error(self, what: &'static str) -> JsonError {
        JsonError::new(self.at(), what)
    }

    /// Something else than `what` stands here.
    #[cold]
    pub(super) fn expected(self, what: &str) -> JsonError {
        let found = match self.peek() {
            b'"' => "a string",
            b'-' | b'0'..=b'9' => "a number",
            b'{' => "an object",
            b'[' => "an array",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b',' => "a comma",
            b':' => "a colon",
            b'}' | b']' => "a closing bracket",
            _ if self.rest.is_empty() => "the end",
            _ => "something else",
        };
        JsonError::new(self.at(), format!("expected {what}, found {found}"))
    }
}

/// What follows what is blank.
#[inline(never)]
fn past_blank(rest: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    let count = rest.iter().take_while(|byte| blank(byte)).count();
    rest.get(count..).unwrap_or_default()
}
