//! Enums of which a key says which variant it is.
//!
//! serde reads the whole object, wherever the key stands, before it looks at the variant's fields.
//! So do we: a first scan finds the key and checks everything as strictly as serde does then.

use std::borrow::Cow;

use super::{
    error::JsonError,
    reader::{Opened, Reader},
    skip::{self, STRICTLY},
};

/// An object or array that stands for a tagged enum.
#[derive(Debug)]
pub struct Tagged<'de> {
    /// Where its fields are read from.
    pub body: Reader<'de>,
    /// By their names or by their places.
    pub opened: Opened,
    name: Name<'de>,
}

/// What the tag said.
#[derive(Debug)]
enum Name<'de> {
    Text(Cow<'de, str>),
    /// serde takes a variant's number, but only from what it has held back.
    Number(u64),
}

impl<'de> Reader<'de> {
    /// Reads past a tagged enum and finds its tag.
    ///
    /// # Errors
    ///
    /// It is no JSON, or has no tag, or has it twice.
    pub fn tagged(&mut self, tag: &'static str) -> Result<Tagged<'de>, JsonError> {
        let held_back = self.buffered;
        let opened = self.open()?;
        let mut scan = *self;
        let mut name = None;
        let mut body = Reader { buffered: true, ..scan };
        if opened == Opened::Object {
            while let Some(key) = scan.next_key()? {
                if key != tag {
                    scan.rest = skip::value::<STRICTLY>(scan)?.rest;
                } else if name.is_some() {
                    return Err(scan.duplicate(tag));
                } else {
                    name = Some(scan.tag(held_back).map_err(|error| error.in_field(tag))?);
                }
            }
        } else if scan.next_element()? {
            name = Some(scan.tag(held_back).map_err(|error| error.in_field(tag))?);
            body = Reader { buffered: true, ..scan };
            while scan.next_element()? {
                scan.rest = skip::value::<STRICTLY>(scan)?.rest;
            }
            scan.close_array()?;
        }
        let name = name.ok_or_else(|| scan.missing(tag))?;
        self.rest = scan.rest;
        Ok(Tagged { body, opened, name })
    }

    fn tag(&mut self, held_back: bool) -> Result<Name<'de>, JsonError> {
        self.blank();
        if held_back && self.peek() != b'"' {
            return self.read().map(Name::Number);
        }
        self.read().map(Name::Text)
    }
}

impl Tagged<'_> {
    /// Which of the variants it is, each given with all its names.
    ///
    /// # Errors
    ///
    /// None of them.
    pub fn variant(&self, tag: &'static str, variants: &[&[&str]]) -> Result<usize, JsonError> {
        let number = match &self.name {
            Name::Text(name) => variants.iter().position(|names| names.contains(&&**name)),
            Name::Number(number) => usize::try_from(*number).ok().filter(|n| *n < variants.len()),
        };
        number.ok_or_else(|| {
            let what = match &self.name {
                Name::Text(name) => format!("unknown variant `{name}`, expected one of"),
                Name::Number(number) => format!("unknown variant {number}, expected one of"),
            };
            let known = variants.iter().flat_map(|names| names.first());
            let what = known.fold(what, |what, name| format!("{what} `{name}`"));
            JsonError::new(self.body.at(), what).in_field(tag)
        })
    }

    /// Reads a variant that has nothing in it.
    ///
    /// # Errors
    ///
    /// It has something in it, by its place.
    pub fn unit(mut self) -> Result<(), JsonError> {
        match self.opened {
            // Its keys, if there are any, were read past.
            Opened::Object => Ok(()),
            Opened::Array => self.body.close_array(),
        }
    }
}
