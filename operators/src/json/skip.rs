//! Reads past a value of which nothing is kept, and checks it on the way.
//!
//! *Loosely* is how `serde_json` reads past what a type does not ask for: the grammar and nothing
//! else. *Strictly* is how serde reads what it has to hold back, as in a tagged enum: text is
//! UTF-8, numbers are in range, and no more than so many values lie in each other.

use super::{block::Block, error::JsonError, reader::Reader, text};

/// How values are read past.
pub(super) const LOOSELY: bool = false;
/// How values are read past.
pub(super) const STRICTLY: bool = true;

/// What was read past.
pub(super) struct Skipped<'de> {
    /// What follows it.
    pub(super) rest: &'de [u8],
    /// How many arrays and objects were open at once.
    pub(super) deepest: usize,
}

/// Which brackets are open: a bit each, the innermost lowest, set for an object.
#[derive(Default)]
struct Open {
    depth: usize,
    word: u64,
    /// The words of 64 outer levels each.
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(std::mem::take(&mut self.word));
        }
        self.word = self.word << 1 | u64::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.word >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.word = self.outer.pop().unwrap_or_default();
        }
    }

    fn in_object(&self) -> bool {
        self.word & 1 == 1
    }
}

impl Reader<'_> {
    /// Reads past the value that stands here.
    ///
    /// # Errors
    ///
    /// It is no JSON.
    #[inline]
    pub fn skip(&mut self) -> Result<(), JsonError> {
        self.rest = value::<LOOSELY>(*self)?.rest;
        Ok(())
    }
}

/// Reads past one value, with what is blank before it.
#[inline(never)]
pub(super) fn value<const STRICT: bool>(mut reader: Reader<'_>) -> Result<Skipped<'_>, JsonError> {
    let (mut open, mut deepest) = (Open::default(), 0);
    loop {
        // A value begins here.
        reader.blank();
        match reader.peek() {
            byte @ (b'{' | b'[') => {
                open.push(byte == b'{');
                deepest = deepest.max(open.depth);
                if STRICT && open.depth >= usize::from(reader.levels) {
                    return Err(reader.error("more arrays and objects in each other than 127"));
                }
                reader.pass(1);
                reader.blank();
                let closes = if open.in_object() { b'}' } else { b']' };
                if reader.peek() != closes {
                    if open.in_object() {
                        key::<STRICT>(&mut reader)?;
                    }
                    continue;
                }
            }
            _ => scalar::<STRICT>(&mut reader)?,
        }
        // A value has ended here, or an empty array or object ends.
        if open.depth == 0 {
            return Ok(Skipped { rest: reader.rest, deepest });
        }
        if !after_value::<STRICT>(&mut reader, &mut open)? {
            return Ok(Skipped { rest: reader.rest, deepest });
        }
    }
}

/// Behind a value inside of something open: whether another value follows.
#[inline(always)]
fn after_value<const STRICT: bool>(
    reader: &mut Reader<'_>,
    open: &mut Open,
) -> Result<bool, JsonError> {
    loop {
        reader.blank();
        match (reader.peek(), open.in_object()) {
            (b',', object) => {
                reader.pass(1);
                if object {
                    reader.blank();
                    key::<STRICT>(reader)?;
                }
                return Ok(true);
            }
            (b'}', true) | (b']', false) => {
                reader.pass(1);
                open.pop();
                if open.depth == 0 {
                    return Ok(false);
                }
            }
            (_, true) => return Err(reader.expected("a comma or the end of the object")),
            (_, false) => return Err(reader.expected("a comma or the end of the array")),
        }
    }
}

/// A key and its colon.
#[inline(always)]
fn key<const STRICT: bool>(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    string::<STRICT>(reader, "a key")?;
    reader.colon()
}

/// What has nothing in it.
#[inline(always)]
fn scalar<const STRICT: bool>(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    match reader.peek() {
        b'"' => string::<STRICT>(reader, "a string"),
        b'-' | b'0'..=b'9' if STRICT => reader.double().map(drop),
        b'-' | b'0'..=b'9' => reader.pass_number(),
        b't' => reader.literal(b"true"),
        b'f' => reader.literal(b"false"),
        b'n' => reader.literal(b"null"),
        _ => Err(reader.expected("a value")),
    }
}

/// A string that stands right here, else it was `what` that was expected.
#[inline(always)]
fn string<const STRICT: bool>(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<(), JsonError> {
    if STRICT {
        return reader.quoted(what).map(drop);
    }
    if reader.peek() != b'"' {
        return Err(reader.expected(what));
    }
    reader.pass_string()
}

impl Reader<'_> {
    /// One of the three words that JSON has.
    #[inline(always)]
    pub(super) fn literal<const N: usize>(&mut self, word: &[u8; N]) -> Result<(), JsonError> {
        if self.take(word) { Ok(()) } else { Err(self.expected("a value")) }
    }

    /// Goes past the string whose opening quote stands here.
    #[inline(always)]
    pub(super) fn pass_string(&mut self) -> Result<(), JsonError> {
        self.pass(1);
        loop {
            self.rest = text::past_plain(self.rest);
            match self.rest.first() {
                Some(b'"') => {
                    self.pass(1);
                    return Ok(());
                }
                Some(b'\\') => self.pass_escape()?,
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("the payload ends in a string")),
            }
        }
    }

    /// Goes past an escape.
    fn pass_escape(&mut self) -> Result<(), JsonError> {
        let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        match self.rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.pass(2),
            Some(b'u') if self.rest.get(2..6).is_some_and(is_hex) => self.pass(6),
            _ => return Err(self.error("an escape that JSON does not have")),
        }
        Ok(())
    }

    /// Goes past the number that begins here.
    #[inline(always)]
    pub(super) fn pass_number(&mut self) -> Result<(), JsonError> {
        if self.peek() == b'-' {
            self.pass(1);
        }
        let start = *self;
        let count = self.pass_digits();
        if count == 0 || (count > 1 && start.peek() == b'0') {
            return Err(start.error("a number that JSON does not have"));
        }
        if self.peek() == b'.' {
            self.pass(1);
            if self.pass_digits() == 0 {
                return Err(self.error("a number that JSON does not have"));
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.pass(1);
            if matches!(self.peek(), b'+' | b'-') {
                self.pass(1);
            }
            if self.pass_digits() == 0 {
                return Err(self.error("a number that JSON does not have"));
            }
        }
        Ok(())
    }

    /// Goes past digits; says how many.
    #[inline(always)]
    fn pass_digits(&mut self) -> usize {
        let mut all = 0;
        loop {
            let count = Block::of(self.rest).digits();
            self.pass(count);
            all += count;
            if count < 8 {
                return all;
            }
        }
    }
}

/// What is in `from` and not in `rest`, a later part of it.
#[inline(always)]
pub(super) fn between<'de>(from: &'de [u8], rest: &[u8]) -> &'de [u8] {
    from.get(..from.len() - rest.len()).unwrap_or_default()
}
