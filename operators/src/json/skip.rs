//! Reads past a value of which nothing is kept, and checks it on the way.
//!
//! *Loosely* is how `serde_json` reads past what a type does not ask for: the grammar and nothing
//! else. *Strictly* is how serde reads what it has to hold back, as in a tagged enum: text is UTF-8,
//! numbers are in range, and no more than so many values lie in each other.

use super::{error::JsonError, reader::Reader, text};

/// How values are read past.
pub(super) const LOOSELY: bool = false;
/// How values are read past.
pub(super) const STRICTLY: bool = true;

/// What was read past.
pub(super) struct Skipped {
    /// The place behind it.
    pub(super) end: usize,
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
        self.at = value::<LOOSELY>(*self)?.end;
        Ok(())
    }
}

/// Reads past one value, with what is blank before it.
#[inline(never)]
pub(super) fn value<const STRICT: bool>(mut reader: Reader<'_>) -> Result<Skipped, JsonError> {
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
                reader.at += 1;
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
            return Ok(Skipped { end: reader.at, deepest });
        }
        if !after_value::<STRICT>(&mut reader, &mut open)? {
            return Ok(Skipped { end: reader.at, deepest });
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
                reader.at += 1;
                if object {
                    reader.blank();
                    key::<STRICT>(reader)?;
                }
                return Ok(true);
            }
            (b'}', true) | (b']', false) => {
                reader.at += 1;
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
    if reader.peek() != b'"' {
        return Err(reader.expected("a key"));
    }
    string::<STRICT>(reader)?;
    reader.colon()
}

/// What has nothing in it.
#[inline(always)]
fn scalar<const STRICT: bool>(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    match reader.peek() {
        b'"' => string::<STRICT>(reader),
        b'-' | b'0'..=b'9' if STRICT => reader.double().map(drop),
        b'-' | b'0'..=b'9' => {
            reader.at = number(reader.bytes, reader.at)?;
            Ok(())
        }
        b't' => reader.literal(b"true"),
        b'f' => reader.literal(b"false"),
        b'n' => reader.literal(b"null"),
        _ => Err(reader.expected("a value")),
    }
}

/// The string whose opening quote stands here.
#[inline(always)]
fn string<const STRICT: bool>(reader: &mut Reader<'_>) -> Result<(), JsonError> {
    if STRICT {
        return reader.quoted().map(drop);
    }
    reader.at = text(reader.bytes, reader.at + 1)?;
    Ok(())
}

impl Reader<'_> {
    /// One of the three words that JSON has.
    #[inline(always)]
    pub(super) fn literal<const N: usize>(&mut self, word: &[u8; N]) -> Result<(), JsonError> {
        if self.take(word) { Ok(()) } else { Err(self.expected("a value")) }
    }
}

/// The place behind a string of which `at` is the first byte after its opening quote.
pub(super) fn text(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    loop {
        at = text::plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(_) => return Err(JsonError::new(at, "a control character in a string")),
            None => return Err(JsonError::new(at, "the payload ends in a string")),
        }
    }
}

/// The place behind the escape that begins at `at`.
fn escape(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') if bytes.get(at + 2..at + 6).is_some_and(is_hex) => Ok(at + 6),
        _ => Err(JsonError::new(at, "an escape that JSON does not have")),
    }
}

/// The place behind the number that begins at `at`.
pub(super) fn number(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let wrong = |at| Err(JsonError::new(at, "a number that JSON does not have"));
    let start = at + usize::from(byte(at) == b'-');
    let mut end = digits(start);
    if end == start || (byte(start) == b'0' && end > start + 1) {
        return wrong(start);
    }
    if byte(end) == b'.' {
        let part = end + 1;
        end = digits(part);
        if end == part {
            return wrong(end);
        }
    }
    if matches!(byte(end), b'e' | b'E') {
        let power = end + 1 + usize::from(matches!(byte(end + 1), b'+' | b'-'));
        end = digits(power);
        if end == power {
            return wrong(end);
        }
    }
    Ok(end)
}
