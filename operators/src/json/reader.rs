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
    pub(super) bytes: &'de [u8],
    pub(super) at: usize,
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
        Self { bytes, at: 0, levels: LEVELS, started: false, buffered: false }
    }

    /// The byte here; nought, which JSON has nowhere, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        match self.bytes.get(self.at) {
            Some(byte) => *byte,
            None => 0,
        }
    }

    /// Goes past what is blank.
    #[inline(always)]
    pub(super) fn blank(&mut self) {
        if self.peek() <= b' ' {
            self.at = past_blank(self.bytes, self.at);
        }
    }

    /// Goes past `token` if it stands here.
    #[inline(always)]
    pub(super) fn take<const N: usize>(&mut self, token: &[u8; N]) -> bool {
        let here = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) == Some(token);
        if here {
            self.at += N;
        }
        here
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
        self.at = inner.at;
        Ok(value)
    }

    /// Enters an array or an object.
    #[inline(always)]
    pub(super) fn enter(&mut self) -> Result<(), JsonError> {
        self.at += 1;
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
        self.blank();
        if self.at < self.bytes.len() {
            return Err(self.error("something follows the value"));
        }
        Ok(())
    }

    /// An error here.
    #[cold]
    pub(super) fn error(self, what: &'static str) -> JsonError {
        JsonError::new(self.at, what)
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
            _ if self.at >= self.bytes.len() => "the end",
            _ => "something else",
        };
        JsonError::new(self.at, format!("expected {what}, found {found}"))
    }
}

/// The first place from `at` on that is not blank.
#[inline(never)]
fn past_blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    at + rest.iter().take_while(|byte| blank(byte)).count()
}
