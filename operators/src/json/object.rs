//! Objects by their keys, and arrays by their places.

use std::borrow::Cow;

use super::{FromJson, error::JsonError, reader::Reader};

/// A type that is read from an object or from an array of its fields: what structs derive.
pub trait FromJsonObject<'de>: FromJson<'de> {
    /// Reads what stands between the braces and the closing one. `tag` is a key that says what
    /// kind of object it is and is none of its fields.
    ///
    /// # Errors
    ///
    /// It is no JSON, or does not fit.
    fn object(reader: &mut Reader<'de>, tag: Option<&'static str>) -> Result<Self, JsonError>;

    /// Reads the elements that are left, and the closing bracket.
    ///
    /// # Errors
    ///
    /// As [`Self::object`].
    fn array(reader: &mut Reader<'de>) -> Result<Self, JsonError>;
}

impl<'de> Reader<'de> {
    /// Goes past the next key and its colon if the key is the one in `key`, given with a comma
    /// before it, its quotes and the colon. Most payloads of a source have their fields in one
    /// order, and nothing blank around them.
    #[inline(always)]
    pub fn guess<const N: usize>(&mut self, key: &[u8; N]) -> bool {
        (self.started && self.take(key)) || self.guess_apart(key)
    }

    /// The same where the key is the first one, or something blank is before it.
    #[inline(always)]
    fn guess_apart(&mut self, key: &[u8]) -> bool {
        let mut next = *self;
        if self.started && !next.take(b",") {
            return false;
        }
        next.blank();
        let bare = key.split_first().map(|(_comma, bare)| bare).unwrap_or_default();
        let Some(rest) = next.rest.strip_prefix(bare) else { return false };
        self.rest = rest;
        self.started = true;
        true
    }

    /// Leaves the object if it ends right here.
    #[inline(always)]
    pub fn closes(&mut self) -> bool {
        self.take(b"}")
    }

    /// The next key, whatever it is; none when the object has ended.
    ///
    /// # Errors
    ///
    /// Neither a key nor the end stands here.
    #[inline(always)]
    pub fn next_key(&mut self) -> Result<Option<Cow<'de, str>>, JsonError> {
        let (key, rest) = next_key(*self)?;
        self.rest = rest;
        self.started = true;
        Ok(key)
    }

    /// A colon, with what is blank before it.
    #[inline(always)]
    pub(super) fn colon(&mut self) -> Result<(), JsonError> {
        self.blank();
        if self.take(b":") { Ok(()) } else { Err(self.expected("a colon")) }
    }

    /// Whether the array has another element, which then stands here.
    ///
    /// # Errors
    ///
    /// Neither an element nor the end stands here.
    #[inline(always)]
    pub fn next_element(&mut self) -> Result<bool, JsonError> {
        self.blank();
        if self.peek() == b']' {
            return Ok(false);
        }
        if self.started {
            if !self.take(b",") {
                return Err(self.expected("a comma or the end of the array"));
            }
            self.blank();
            if self.peek() == b']' {
                return Err(self.error("a comma before the end of the array"));
            }
        }
        self.started = true;
        Ok(true)
    }

    /// Leaves the array, which must end here.
    ///
    /// # Errors
    ///
    /// It has more elements.
    #[inline(always)]
    pub fn close_array(&mut self) -> Result<(), JsonError> {
        self.blank();
        if self.take(b"]") { Ok(()) } else { Err(self.expected("the end of the array")) }
    }

    /// The error that a field is missing.
    #[cold]
    pub fn missing(self, name: &'static str) -> JsonError {
        JsonError::new(self.at(), format!("missing field `{name}`"))
    }

    /// The error that a field comes twice.
    #[cold]
    pub fn duplicate(self, name: &'static str) -> JsonError {
        JsonError::new(self.at(), format!("duplicate field `{name}`"))
    }

    /// The error that a field is not known.
    #[cold]
    pub fn unknown(self, name: &str) -> JsonError {
        JsonError::new(self.at(), format!("unknown field `{name}`"))
    }
}

/// The next key, and what follows its colon or the object.
#[inline(never)]
fn next_key(mut reader: Reader<'_>) -> Result<(Option<Cow<'_, str>>, &[u8]), JsonError> {
    reader.blank();
    match reader.peek() {
        b'}' => {
            reader.pass(1);
            return Ok((None, reader.rest));
        }
        b',' if reader.started => {
            reader.pass(1);
            reader.blank();
        }
        _ if reader.started => return Err(reader.expected("a comma or the end of the object")),
        _ => {}
    }
    let key = reader.quoted("a key")?;
    reader.colon()?;
    Ok((Some(key), reader.rest))
}
