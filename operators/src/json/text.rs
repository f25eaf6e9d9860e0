//! Text: borrowed from the payload where nothing in it is escaped.

use std::borrow::Cow;

use super::{block::Block, error::JsonError, reader::Reader, skip};

impl<'de> Reader<'de> {
    /// The text that stands here.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>, JsonError> {
        self.blank();
        if self.peek() != b'"' {
            return Err(self.expected("a string"));
        }
        self.quoted()
    }

    /// The text whose opening quote stands here.
    #[inline(always)]
    pub(super) fn quoted(&mut self) -> Result<Cow<'de, str>, JsonError> {
        let start = self.at + 1;
        let end = plain(self.bytes, start);
        if self.bytes.get(end) != Some(&b'"') {
            let (text, end) = escaped(*self)?;
            self.at = end;
            return Ok(Cow::Owned(text));
        }
        match self.bytes.get(start..end).map(std::str::from_utf8) {
            Some(Ok(text)) => {
                self.at = end + 1;
                Ok(Cow::Borrowed(text))
            }
            _ => Err(self.error("this string is no UTF-8")),
        }
    }
}

/// The first place from `at` on with a quote, a backslash, a control character or nothing.
#[inline(always)]
pub(super) fn plain(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let count = Block::at(bytes, at).text();
        at += count;
        if count < 8 {
            return at;
        }
    }
}

/// Text with something escaped in it, by `serde_json`; and where it ends.
#[cold]
#[inline(never)]
fn escaped(reader: Reader<'_>) -> Result<(String, usize), JsonError> {
    let end = skip::text(reader.bytes, reader.at + 1)?;
    match serde_json::from_slice(reader.bytes.get(reader.at..end).unwrap_or_default()) {
        Ok(text) => Ok((text, end)),
        Err(_) => Err(reader.error("this string is no UTF-8, or escapes half a character")),
    }
}
