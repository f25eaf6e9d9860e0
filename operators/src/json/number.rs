//! Numbers: short ones at once, the rest by the careful way.
//!
//! A decimal of few digits is exactly its digits divided by a power of ten, both of which a float
//! holds exactly, so that the division rounds once and correctly. All others go to `serde_json`,
//! whose rounding depends on a feature of it: the result is the same whichever is chosen.

use serde::de::DeserializeOwned;

use super::{block::Block, error::JsonError, reader::Reader, skip};

/// Powers of ten; a float holds each of them exactly.
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

/// A run of 1 to 16 digits.
struct Run<'de> {
    value: u64,
    count: usize,
    /// The block in which it ends, from its end on.
    after: Block,
    /// What follows it.
    rest: &'de [u8],
}

impl<'de> Run<'de> {
    /// The digits that stand here, `block` being the first of `rest`. None when there are none, or
    /// more than 16.
    #[inline(always)]
    fn at(block: Block, rest: &'de [u8]) -> Option<Self> {
        match block.digits() {
            0 => None,
            8 => Self::long(block.value(8), rest.get(8..).unwrap_or_default()),
            count => Some(Self {
                value: block.value(count),
                count,
                after: block.after(count),
                rest: rest.get(count..).unwrap_or_default(),
            }),
        }
    }

    /// The same from the ninth digit on.
    #[inline(always)]
    fn long(high: u64, rest: &'de [u8]) -> Option<Self> {
        let block = Block::of(rest);
        let count = block.digits();
        if count == 0 {
            return Some(Self { value: high, count: 8, after: block, rest });
        }
        let (value, rest) = (block.value(count), rest.get(count..).unwrap_or_default());
        let after = if count < 8 { block.after(count) } else { Block::of(rest) };
        let value = high * WHOLE_TENS.get(count)? + value;
        (after.digits() == 0).then_some(Self { value, count: 8 + count, after, rest })
    }
}

impl<'de> Reader<'de> {
    /// A whole number: whether it is negative, and its size.
    #[inline(always)]
    pub(super) fn integer(&mut self, what: &'static str) -> Result<(bool, u64), JsonError> {
        self.blank();
        let (negative, digits) = sign(self.rest);
        let block = Block::of(digits);
        let (size, rest) = match Run::at(block, digits) {
            Some(run) if is_whole(&run, block) && !(negative && run.value == 0) => {
                (run.value, run.rest)
            }
            _ => long_integer(*self, what)?,
        };
        self.rest = rest;
        Ok((negative, size))
    }

    /// A decimal as an `f64`.
    #[inline(always)]
    pub(super) fn double(&mut self) -> Result<f64, JsonError> {
        self.blank();
        let (value, rest) = match short_decimal(self.rest, 1 << 53) {
            Some((value, _, rest)) => (value, rest),
            None => long_decimal(*self)?,
        };
        self.rest = rest;
        Ok(value)
    }

    /// A decimal as an `f32`.
    #[inline(always)]
    pub(super) fn single(&mut self) -> Result<f32, JsonError> {
        self.blank();
        // Below 2^24 and with at most ten decimals an `f32` holds both parts, and the quotient of
        // two such numbers may be rounded to an `f64` on its way without harm.
        let (value, rest) = match short_decimal(self.rest, 1 << 24) {
            Some((value, decimals, rest)) if decimals <= 10 => (value as f32, rest),
            _ => long_decimal(*self)?,
        };
        self.rest = rest;
        Ok(value)
    }
}

/// Whether a number is negative, and what follows its sign.
#[inline(always)]
fn sign(rest: &[u8]) -> (bool, &[u8]) {
    match rest.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, rest),
    }
}

/// Whether `run`, which began with `block`, has no nought in front and nothing behind.
#[inline(always)]
fn is_whole(run: &Run<'_>, block: Block) -> bool {
    let leading_nought = block.byte(0) == b'0' && run.count > 1;
    !leading_nought && !matches!(run.after.byte(0), b'.' | b'e' | b'E')
}

/// A decimal whose digits, read as a whole number, are below `below`; how many of them are behind
/// the point; and what follows.
#[inline(always)]
fn short_decimal(rest: &[u8], below: u64) -> Option<(f64, usize, &[u8])> {
    let (negative, digits) = sign(rest);
    let block = Block::of(digits);
    let whole = Run::at(block, digits)?;
    if block.byte(0) == b'0' && whole.count > 1 {
        return None;
    }
    let (mut value, mut decimals, mut end, mut after) = (whole.value, 0, whole.rest, whole.after);
    if after.byte(0) == b'.' {
        let part = whole.rest.get(1..)?;
        let part = Run::at(Block::of(part), part)?;
        // Either has at most 16 digits; both together may be too many.
        value = value.checked_mul(*WHOLE_TENS.get(part.count)?)?.checked_add(part.value)?;
        (decimals, end, after) = (part.count, part.rest, part.after);
    }
    if value >= below || matches!(after.byte(0), b'e' | b'E') {
        return None;
    }
    let value = value as f64 / TENS.get(decimals)?;
    Some((if negative { -value } else { value }, decimals, end))
}

/// A whole number of 17 digits and more, or none at all; and what follows.
#[cold]
#[inline(never)]
fn long_integer<'de>(
    reader: Reader<'de>,
    what: &'static str,
) -> Result<(u64, &'de [u8]), JsonError> {
    if !matches!(reader.peek(), b'-' | b'0'..=b'9') {
        return Err(reader.expected(what));
    }
    let mut end = reader;
    end.pass_number()?;
    let number = skip::between(reader.rest, end.rest);
    let (negative, digits) = sign(number);
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    match value {
        // serde takes `-0` for a decimal.
        Some(value) if !(negative && value == 0) => Ok((value, end.rest)),
        _ => Err(JsonError::new(reader.at(), format!("this number is no {what}"))),
    }
}

/// Any decimal, by `serde_json`; and what follows.
#[cold]
#[inline(never)]
fn long_decimal<T: DeserializeOwned>(reader: Reader<'_>) -> Result<(T, &[u8]), JsonError> {
    if !matches!(reader.peek(), b'-' | b'0'..=b'9') {
        return Err(reader.expected("a number"));
    }
    let mut end = reader;
    end.pass_number()?;
    match serde_json::from_slice(skip::between(reader.rest, end.rest)) {
        Ok(value) => Ok((value, end.rest)),
        Err(_) => Err(reader.error("this number is out of range")),
    }
}
