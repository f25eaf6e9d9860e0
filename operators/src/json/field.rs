//! How a field of a derived type is read, chosen by what its type is.
//!
//! The derive sees names and not types: whether a type is [`FromJson`] or only `Deserialize` is
//! found by the compiler, which tries the receiver `&&Field` before it takes a reference off. So
//! [`Extracted`] is found first where it holds, and [`BySerde`] otherwise.

use std::marker::PhantomData;

use serde::Deserialize;

use super::{FromJson, error::JsonError, fallback, reader::Reader};

/// A field that is to be read.
#[derive(Debug)]
pub struct Field<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Field<T> {
    /// The field of this name, in the document.
    #[inline(always)]
    pub fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }
}

/// A field whose type is [`FromJson`].
pub trait Extracted<'de, T> {
    /// Reads the field where it is expected.
    ///
    /// # Errors
    ///
    /// What stands there does not fit.
    fn read(&self, reader: &mut Reader<'de>) -> Result<T, JsonError>;

    /// Reads the field where it was not expected: the same in less code.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn read_later(&self, reader: &mut Reader<'de>) -> Result<T, JsonError>;

    /// The value when the field is missing.
    ///
    /// # Errors
    ///
    /// The field must be there.
    fn absent(&self, reader: &Reader<'de>) -> Result<T, JsonError>;
}

impl<'de, T: FromJson<'de>> Extracted<'de, T> for &Field<T> {
    #[inline(always)]
    fn read(&self, reader: &mut Reader<'de>) -> Result<T, JsonError> {
        reader.read().map_err(|error| error.in_field(self.name))
    }

    #[inline(always)]
    fn read_later(&self, reader: &mut Reader<'de>) -> Result<T, JsonError> {
        let (value, rest) = apart(*reader).map_err(|error| error.in_field(self.name))?;
        reader.rest = rest;
        Ok(value)
    }

    #[inline(always)]
    fn absent(&self, reader: &Reader<'de>) -> Result<T, JsonError> {
        T::absent().ok_or_else(|| reader.missing(self.name))
    }
}

/// A field whose type only serde knows.
pub trait BySerde<'de, T> {
    /// As [`Extracted::read`].
    ///
    /// # Errors
    ///
    /// As there.
    fn read(&self, reader: &mut Reader<'de>) -> Result<T, JsonError>;

    /// As [`Extracted::read_later`].
    ///
    /// # Errors
    ///
    /// As there.
    fn read_later(&self, reader: &mut Reader<'de>) -> Result<T, JsonError>;

    /// As [`Extracted::absent`].
    ///
    /// # Errors
    ///
    /// As there.
    fn absent(&self, reader: &Reader<'de>) -> Result<T, JsonError>;
}

impl<'de, T: Deserialize<'de>> BySerde<'de, T> for Field<T> {
    #[inline]
    fn read(&self, reader: &mut Reader<'de>) -> Result<T, JsonError> {
        let (value, rest) =
            fallback::by_serde(*reader).map_err(|error| error.in_field(self.name))?;
        reader.rest = rest;
        Ok(value)
    }

    #[inline]
    fn read_later(&self, reader: &mut Reader<'de>) -> Result<T, JsonError> {
        self.read(reader)
    }

    #[inline]
    fn absent(&self, reader: &Reader<'de>) -> Result<T, JsonError> {
        fallback::absent().ok_or_else(|| reader.missing(self.name))
    }
}

/// Reads a value in a function of its own; with what follows it.
#[inline(never)]
fn apart<'de, T: FromJson<'de>>(mut reader: Reader<'de>) -> Result<(T, &'de [u8]), JsonError> {
    let value = T::from_json(&mut reader)?;
    Ok((value, reader.rest))
}
