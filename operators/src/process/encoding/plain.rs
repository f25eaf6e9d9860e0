//! A serializer for what is plain: it maps a value to pieces of MessagePack as `rmp-serde` does.

use std::fmt;

use serde::{Serialize, ser};

/// No deeper than this: `rmp-serde` gives up at 1,024, and counts more steps.
const DEPTH_MAX: u16 = 64;

/// The name by which `rmp-serde` knows what it writes in its own way.
const EXTENSION: &str = rmp_serde::MSGPACK_EXT_STRUCT_NAME;

const NIL: u8 = 0xc0;
const FALSE: u8 = 0xc2;

/// Takes the pieces of a value.
pub(super) trait Sink {
    /// Nil, false or true.
    fn byte(&mut self, byte: u8);
    fn unsigned(&mut self, number: u64);
    fn signed(&mut self, number: i64);
    fn real32(&mut self, number: f32);
    fn real64(&mut self, number: f64);
    fn text(&mut self, text: &str) -> Result<(), Unknown>;
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Unknown>;
    /// The head of a sequence, if it is known how many elements come.
    fn array(&mut self, len: Option<usize>) -> Result<(), Unknown>;
    /// The head of a map, if it is known how many pairs come.
    fn map(&mut self, len: Option<usize>) -> Result<(), Unknown>;
}

/// Only `rmp-serde` can tell.
#[derive(Debug)]
pub(super) struct Unknown;

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

/// The serializer.
pub(super) struct Plain<'s, S> {
    sink: &'s mut S,
    depth: u16,
}

impl<'s, S: Sink> Plain<'s, S> {
    #[inline]
    pub(super) fn new(sink: &'s mut S) -> Self {
        Self { sink, depth: 0 }
    }

    #[inline]
    fn enter(&mut self) -> Result<&mut Self, Unknown> {
        if self.depth == DEPTH_MAX {
            return Err(Unknown);
        }
        self.depth += 1;
        Ok(self)
    }

    #[inline]
    fn inside<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
        value.serialize(self.enter()?)?;
        self.leave()
    }

    #[inline]
    fn leave(&mut self) -> Result<(), Unknown> {
        self.depth -= 1;
        Ok(())
    }

    /// A variant is a map of one pair: its name and what it holds.
    #[inline]
    fn variant(&mut self, variant: &str) -> Result<(), Unknown> {
        self.sink.map(Some(1))?;
        self.sink.text(variant)
    }
}

macro_rules! scalars {
    ($($method:ident($kind:ty) $piece:ident;)*) => {
        $(#[inline]
        fn $method(self, value: $kind) -> Result<(), Unknown> {
            self.sink.$piece(value.into());
            Ok(())
        })*
    };
}

impl<S: Sink> ser::Serializer for &mut Plain<'_, S> {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    scalars! {
        serialize_i8(i8) signed;
        serialize_i16(i16) signed;
        serialize_i32(i32) signed;
        serialize_i64(i64) signed;
        serialize_u8(u8) unsigned;
        serialize_u16(u16) unsigned;
        serialize_u32(u32) unsigned;
        serialize_u64(u64) unsigned;
        serialize_f32(f32) real32;
        serialize_f64(f64) real64;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Unknown> {
        self.sink.byte(FALSE + u8::from(value));
        Ok(())
    }

    #[inline]
    fn serialize_i128(self, value: i128) -> Result<(), Unknown> {
        self.sink.bytes(&value.to_be_bytes())
    }

    #[inline]
    fn serialize_u128(self, value: u128) -> Result<(), Unknown> {
        self.sink.bytes(&value.to_be_bytes())
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), Unknown> {
        self.sink.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Unknown> {
        self.sink.text(text)
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unknown> {
        self.sink.bytes(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Unknown> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        self.inside(value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Unknown> {
        self.sink.byte(NIL);
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unknown> {
        self.sink.array(Some(0))
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unknown> {
        self.sink.text(variant)
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
        self.inside(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.variant(variant)?;
        self.inside(value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Unknown> {
        self.sink.array(len)?;
        self.enter()
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self, Unknown> {
        self.serialize_seq(Some(len))
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self, Unknown> {
        self.serialize_seq(Some(len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self, Unknown> {
        self.variant(variant)?;
        self.serialize_seq(Some(len))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self, Unknown> {
        self.sink.map(len)?;
        self.enter()
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self, Unknown> {
        self.serialize_map(Some(len))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self, Unknown> {
        self.variant(variant)?;
        self.serialize_map(Some(len))
    }
}

macro_rules! elements {
    ($($kind:ident $method:ident;)*) => {
        $(impl<S: Sink> ser::$kind for &mut Plain<'_, S> {
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
        $(impl<S: Sink> ser::$kind for &mut Plain<'_, S> {
            type Ok = ();
            type Error = Unknown;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Unknown> {
                self.sink.text(key)?;
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

impl<S: Sink> ser::SerializeMap for &mut Plain<'_, S> {
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
