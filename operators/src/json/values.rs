//! The types that are read without serde.

use std::borrow::Cow;

use super::{FromJson, error::JsonError, reader::Reader};

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl<'de> FromJson<'de> for $type {
            #[inline(always)]
            fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
                let at = *reader;
                let (negative, size) = reader.integer(stringify!($type))?;
                let value = if negative {
                    0_i64.checked_sub_unsigned(size).and_then(|value| Self::try_from(value).ok())
                } else {
                    Self::try_from(size).ok()
                };
                value.ok_or_else(|| at.error(concat!("this number is no ", stringify!($type))))
            }
        }
    )*};
}

whole_numbers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl<'de> FromJson<'de> for f64 {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.double()
    }
}

impl<'de> FromJson<'de> for f32 {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.single()
    }
}

impl<'de> FromJson<'de> for bool {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.blank();
        if reader.take(b"true") {
            Ok(true)
        } else if reader.take(b"false") {
            Ok(false)
        } else {
            Err(reader.expected("a boolean"))
        }
    }
}

impl<'de: 'a, 'a> FromJson<'de> for Cow<'a, str> {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.text()
    }
}

impl<'de> FromJson<'de> for String {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.text().map(Cow::into_owned)
    }
}

impl<'de: 'a, 'a> FromJson<'de> for &'a str {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        match reader.text()? {
            Cow::Borrowed(text) => Ok(text),
            Cow::Owned(_) => Err(reader.error(
                "a &str field cannot hold escaped text, use Cow<str>: the string that ends",
            )),
        }
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Option<T> {
    #[inline(always)]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.blank();
        if reader.take(b"null") {
            return Ok(None);
        }
        T::from_json(reader).map(Some)
    }

    #[inline(always)]
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Box<T> {
    #[inline]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        T::from_json(reader).map(Box::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Box::new)
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Vec<T> {
    #[inline]
    fn from_json(reader: &mut Reader<'de>) -> Result<Self, JsonError> {
        reader.blank();
        if reader.peek() != b'[' {
            return Err(reader.expected("an array"));
        }
        reader.enter()?;
        let mut elements = Self::new();
        while reader.next_element()? {
            let element = reader.read().map_err(|error| error.in_element(elements.len()))?;
            elements.push(element);
        }
        reader.close_array()?;
        Ok(elements)
    }
}
