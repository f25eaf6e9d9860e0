//! Text: borrowed from the payload where nothing in it is escaped.

use std::borrow::Cow;

use super::{block::Block, error::JsonError, reader::Reader, skip};

impl<'de> Reader<'de> {
    /// The text that stands here.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>, JsonError> {
        self.blank();
        self.quoted("a string")
    }

    /// The text that stands right here, else it was `what` that was expected.
    #[inline(always)]
    pub(super) fn quoted(&mut self, what: &'static str) -> Result<Cow<'de, str>, JsonError> {
        let Some((b'"', start)) = self.rest.split_first() else { return Err(self.expected(what)) };
        let end = past_plain(start);
        let Some((b'"', rest)) = end.split_first() else {
            let (text, rest) = escaped(*self)?;
            self.rest = rest;
            return Ok(Cow::Owned(text));
        };
        match std::str::from_utf8(skip::between(start, end)) {
            Ok(text) => {
                self.rest = rest;
                Ok(Cow::Borrowed(text))
            }
            Err(_) => Err(self.error("this string is no UTF-8")),
        }
    }
}

/// What follows up to the first quote, backslash or control character.
#[inline(always)]
pub(super) fn past_plain(mut rest: &[u8]) -> &[u8] {
    loop {
        let count = Block::of(rest).text();
        rest = rest.get(count..).unwrap_or_default();
        if count < 8 {
            return rest;
        }
    }
}

/// Text with something escaped in it, by `serde_json`; and what follows it.
#[cold]
#[inline(never)]
fn escaped(reader: Reader<'_>) -> Result<(String, &[u8]), JsonError> {
    let mut end = reader;
    end.pass_string()?;
    match serde_json::from_slice(skip::between(reader.rest, end.rest)) {
        Ok(text) => Ok((text, end.rest)),
        Err(_) => Err(reader.error("this string is no UTF-8, or escapes half a character")),
    }
}
