//! Numbers: short ones at once, the rest by the careful way.
//!
//! A decimal of few digits is exactly its digits divided by a power of ten, both of which a float
//! holds exactly, so that the division rounds once and correctly. All others go to `serde_json`,
//! whose rounding depends on a feature of it: the result is the same whichever is chosen.

use serde::de::DeserializeOwned;

use super::{block::Block, error::JsonError, reader::Reader, skip};

/// Powers of ten that an `f64` holds exactly; a fast number has at most 16 decimals.
const TENS: [f64; 17] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16];
/// The same as whole numbers.
const WHOLE_TENS: [u64; 17] = {
    let mut tens = [1; 17];
    let mut at = 1;
    while at < 17 {
        tens[at] = tens[at - 1] * 10;
        at += 1;
    }
    tens
};

/// A run of digits: its value and how many there are. `None` when there are none or more than 16.
#[inline(always)]
fn run(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = Block::at(bytes, at);
    match first.digits() {
        0 => None,
        8 => long_run(bytes, at, first.value(8)),
        count => Some((first.value(count), count)),
    }
}

/// The same from the ninth digit on.
#[inline(always)]
fn long_run(bytes: &[u8], at: usize, high: u64) -> Option<(u64, usize)> {
    let second = Block::at(bytes, at + 8);
    match second.digits() {
        0 => Some((high, 8)),
        8 if Block::at(bytes, at + 16).digits() > 0 => None,
        count => Some((high * ten_to(count) + second.value(count), 8 + count)),
    }
}

#[inline(always)]
fn ten_to(count: usize) -> u64 {
    // Always within: a block has at most eight digits.
    WHOLE_TENS.get(count).copied().unwrap_or_default()
}

impl<'de> Reader<'de> {
    /// A whole number: whether it is negative, and its size.
    #[inline(always)]
    pub(super) fn integer(&mut self, what: &'static str) -> Result<(bool, u64), JsonError> {
        self.blank();
        let negative = self.peek() == b'-';
        let start = self.at + usize::from(negative);
        let (size, end) = match run(self.bytes, start) {
            Some((size, count)) => (size, start + count),
            None => long_integer(*self, start, what)?,
        };
        let after = self.bytes.get(end).copied().unwrap_or_default();
        let leading_nought = self.bytes.get(start) == Some(&b'0') && end > start + 1;
        if matches!(after, b'.' | b'e' | b'E') || leading_nought || (negative && size == 0) {
            return Err(self.no_integer(what));
        }
        self.at = end;
        Ok((negative, size))
    }

    /// What stands here is a number, or not even that.
    #[cold]
    fn no_integer(self, what: &'static str) -> JsonError {
        match skip::number(self.bytes, self.at) {
            Ok(_) => JsonError::new(self.at, format!("this number is no {what}")),
            Err(error) => error,
        }
    }

    /// A decimal as an `f64`.
    #[inline(always)]
    pub(super) fn double(&mut self) -> Result<f64, JsonError> {
        self.blank();
        if let Some((value, end)) = self.short_decimal(1 << 53) {
            self.at = end;
            return Ok(value);
        }
        let (value, end) = long_decimal(*self)?;
        self.at = end;
        Ok(value)
    }

    /// A decimal as an `f32`.
    #[inline(always)]
    pub(super) fn single(&mut self) -> Result<f32, JsonError> {
        self.blank();
        // Below 2^24 and with at most ten decimals an `f32` holds both parts, and the quotient of
        // two such numbers may be rounded to an `f64` on its way without harm.
        if let Some((value, end)) = self.short_decimal(1 << 24)
            && end - self.at <= 10
        {
            self.at = end;
            return Ok(value as f32);
        }
        let (value, end) = long_decimal(*self)?;
        self.at = end;
        Ok(value)
    }

    /// A decimal whose digits, read as a whole number, are below `below`; and where it ends.
    #[inline(always)]
    fn short_decimal(&self, below: u64) -> Option<(f64, usize)> {
        let negative = self.peek() == b'-';
        let start = self.at + usize::from(negative);
        let (whole, count) = run(self.bytes, start)?;
        if count > 1 && self.bytes.get(start) == Some(&b'0') {
            return None;
        }
        let mut end = start + count;
        let mut after = self.bytes.get(end).copied().unwrap_or_default();
        let (mut digits, mut decimals) = (whole, 0);
        if after == b'.' {
            let (part, count) = run(self.bytes, end + 1)?;
            // Both runs have at most 16 digits; 16 decimals or so many digits are for the long way.
            let shifted = whole.checked_mul(*WHOLE_TENS.get(count)?)?;
            (digits, decimals) = (shifted.checked_add(part)?, count);
            end += 1 + count;
            after = self.bytes.get(end).copied().unwrap_or_default();
        }
        if digits >= below || matches!(after, b'e' | b'E') {
            return None;
        }
        let value = digits as f64 / TENS.get(decimals)?;
        Some((if negative { -value } else { value }, end))
    }
}

/// A whole number of 17 digits and more, or none at all; with its end.
#[cold]
#[inline(never)]
fn long_integer(
    reader: Reader<'_>,
    start: usize,
    what: &'static str,
) -> Result<(u64, usize), JsonError> {
    let digits = reader.bytes.get(start..).unwrap_or_default();
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err(if start == reader.at {
            reader.expected(what)
        } else {
            reader.no_integer(what)
        });
    }
    let value = digits
        .iter()
        .take(count)
        .try_fold(0_u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')));
    value.map(|value| (value, start + count)).ok_or_else(|| reader.no_integer(what))
}

/// Any decimal, by `serde_json`; with its end.
#[cold]
#[inline(never)]
fn long_decimal<T: DeserializeOwned>(reader: Reader<'_>) -> Result<(T, usize), JsonError> {
    if !matches!(reader.peek(), b'-' | b'0'..=b'9') {
        return Err(reader.expected("a number"));
    }
    let end = skip::number(reader.bytes, reader.at)?;
    let number = reader.bytes.get(reader.at..end).unwrap_or_default();
    match serde_json::from_slice(number) {
        Ok(value) => Ok((value, end)),
        Err(_) => Err(reader.error("this number is out of range")),
    }
}
