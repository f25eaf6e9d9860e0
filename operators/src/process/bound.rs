//! How long the encoded form of a state can be at most, found without encoding it.
//!
//! Where many epochs share a commit, a twin that changes a hundred times is written once; it need
//! not be encoded a hundred times. What law P1 asks of each call is that its state *can* be
//! encoded and keeps its limit. This serializer does what the real one does but for the bytes: of
//! a plain struct the compiler leaves a few additions, or nothing. What it does not know, or what
//! reports an error, it leaves to the real one.

use std::fmt;

use serde::{Serialize, ser};

/// No deeper than this: the real serializer gives up at 1,024, and counts more steps.
const DEPTH_MAX: u16 = 64;

/// The longest head of a text, of bytes, of a map and of a sequence.
const HEAD: usize = 5;

/// The longest number.
const NUMBER: usize = 9;

/// The name by which `rmp-serde` knows what it writes in its own way.
const EXTENSION: &str = rmp_serde::MSGPACK_EXT_STRUCT_NAME;

/// At most so many bytes; `None`: only the real serializer can tell.
#[inline]
pub(super) fn bound<T: Serialize>(value: &T) -> Option<usize> {
    let mut bound = Bound { bytes: 0, depth: 0 };
    value.serialize(&mut bound).ok().map(|()| bound.bytes)
}

struct Bound {
    bytes: usize,
    depth: u16,
}

impl Bound {
    #[inline]
    fn add(&mut self, bytes: usize) -> Result<(), Unknown> {
        self.bytes += bytes;
        Ok(())
    }

    #[inline]
    fn enter(&mut self, bytes: usize) -> Result<&mut Self, Unknown> {
        if self.depth == DEPTH_MAX {
            return Err(Unknown);
        }
        self.depth += 1;
        self.bytes += bytes;
        Ok(self)
    }

    #[inline]
    fn inside<T: Serialize + ?Sized>(&mut self, bytes: usize, value: &T) -> Result<(), Unknown> {
        self.enter(bytes)?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    #[inline]
    fn leave(&mut self) -> Result<(), Unknown> {
        self.depth -= 1;
        Ok(())
    }
}

/// Only the real serializer can tell.
#[derive(Debug)]
struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not known")
    }
}

impl std::error::Error for Unknown {}

impl ser::Error for Unknown {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! at_most {
    ($($method:ident($kind:ty) $bytes:expr;)*) => {
        $(#[inline]
        fn $method(self, _: $kind) -> Result<(), Unknown> {
            self.add($bytes)
        })*
    };
}

impl<'b> ser::Serializer for &'b mut Bound {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = &'b mut Bound;
    type SerializeTuple = &'b mut Bound;
    type SerializeTupleStruct = &'b mut Bound;
    type SerializeTupleVariant = &'b mut Bound;
    type SerializeMap = &'b mut Bound;
    type SerializeStruct = &'b mut Bound;
    type SerializeStructVariant = &'b mut Bound;

    at_most! {
        serialize_bool(bool) 1;
        serialize_i8(i8) NUMBER;
        serialize_i16(i16) NUMBER;
        serialize_i32(i32) NUMBER;
        serialize_i64(i64) NUMBER;
        serialize_i128(i128) HEAD + 16;
        serialize_u8(u8) NUMBER;
        serialize_u16(u16) NUMBER;
        serialize_u32(u32) NUMBER;
        serialize_u64(u64) NUMBER;
        serialize_u128(u128) HEAD + 16;
        serialize_f32(f32) NUMBER;
        serialize_f64(f64) NUMBER;
        serialize_char(char) HEAD + 4;
        serialize_unit_struct(&'static str) HEAD;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Unknown> {
        self.add(HEAD + text.len())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unknown> {
        self.add(HEAD + bytes.len())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Unknown> {
        self.add(1)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        self.inside(0, value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Unknown> {
        self.add(1)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unknown> {
        self.add(HEAD + variant.len())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        if name == EXTENSION {
            return Err(Unknown);
        }
        self.inside(0, value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.inside(1 + HEAD + variant.len(), value)
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unknown> {
        self.enter(HEAD)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Unknown> {
        self.enter(HEAD)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unknown> {
        self.enter(HEAD)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unknown> {
        self.enter(1 + HEAD + variant.len() + HEAD)
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unknown> {
        self.enter(HEAD)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unknown> {
        self.enter(HEAD)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unknown> {
        self.enter(1 + HEAD + variant.len() + HEAD)
    }
}

macro_rules! elements {
    ($($kind:ident $method:ident;)*) => {
        $(impl ser::$kind for &mut Bound {
            type Ok = ();
            type Error = Unknown;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), Unknown> {
                self.leave()
            }
        })*
    };
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($kind:ident)*) => {
        $(impl ser::$kind for &mut Bound {
            type Ok = ();
            type Error = Unknown;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Unknown> {
                self.bytes += HEAD + key.len();
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), Unknown> {
                self.leave()
            }
        })*
    };
}

fields!(SerializeStruct SerializeStructVariant);

impl ser::SerializeMap for &mut Bound {
    type Ok = ();
    type Error = Unknown;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unknown> {
        key.serialize(&mut **self)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
        value.serialize(&mut **self)
    }

    #[inline]
    fn end(self) -> Result<(), Unknown> {
        self.leave()
    }
}

#[cfg(test)]
mod tests;
