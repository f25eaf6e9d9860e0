//! Where [`Plain`](super::plain::Plain) puts the pieces of a value: into bytes, or into a sum.
//!
//! The heads are those of the MessagePack specification; of several that would do, the shortest.

use super::plain::{Sink, Unknown};

/// How long a value can be.
#[derive(Debug, Default)]
pub(super) struct Bound(usize);

/// The longest head of a text, of bytes, of a map and of a sequence.
pub(super) const HEAD: usize = 5;

/// The longest number.
pub(super) const NUMBER: usize = 9;

impl Bound {
    pub(super) fn total(&self) -> usize {
        self.0
    }

    #[inline]
    fn add(&mut self, bytes: usize) -> Result<(), Unknown> {
        self.0 += bytes;
        Ok(())
    }
}

impl Sink for Bound {
    #[inline]
    fn byte(&mut self, _: u8) {
        self.0 += 1;
    }

    #[inline]
    fn unsigned(&mut self, _: u64) {
        self.0 += NUMBER;
    }

    #[inline]
    fn signed(&mut self, _: i64) {
        self.0 += NUMBER;
    }

    #[inline]
    fn real32(&mut self, _: f32) {
        self.0 += NUMBER;
    }

    #[inline]
    fn real64(&mut self, _: f64) {
        self.0 += NUMBER;
    }

    #[inline]
    fn text(&mut self, text: &str) -> Result<(), Unknown> {
        self.add(HEAD + text.len())
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Unknown> {
        self.add(HEAD + bytes.len())
    }

    #[inline]
    fn array(&mut self, _: Option<usize>) -> Result<(), Unknown> {
        self.add(HEAD)
    }

    #[inline]
    fn map(&mut self, _: Option<usize>) -> Result<(), Unknown> {
        self.add(HEAD)
    }
}

/// A head and a number behind it, the most significant byte first.
#[inline]
fn put<const N: usize>(to: &mut Vec<u8>, head: u8, number: [u8; N]) {
    let mut bytes = [head; NUMBER];
    bytes[1..=N].copy_from_slice(&number);
    to.extend_from_slice(&bytes[..=N]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline]
    fn unsigned(&mut self, number: u64) {
        match number {
            0..=0x7f => self.push(number as u8),
            0x80..=0xff => put(self, 0xcc, (number as u8).to_be_bytes()),
            0x100..=0xffff => put(self, 0xcd, (number as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => put(self, 0xce, (number as u32).to_be_bytes()),
            _ => put(self, 0xcf, number.to_be_bytes()),
        }
    }

    #[inline]
    fn signed(&mut self, number: i64) {
        match number {
            0.. => self.unsigned(number as u64),
            -32..=-1 => self.push(number as u8),
            -0x80..=-33 => put(self, 0xd0, (number as i8).to_be_bytes()),
            -0x8000..=-0x81 => put(self, 0xd1, (number as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => put(self, 0xd2, (number as i32).to_be_bytes()),
            _ => put(self, 0xd3, number.to_be_bytes()),
        }
    }

    #[inline]
    fn real32(&mut self, number: f32) {
        put(self, 0xca, number.to_be_bytes());
    }

    #[inline]
    fn real64(&mut self, number: f64) {
        put(self, 0xcb, number.to_be_bytes());
    }

    #[inline]
    fn text(&mut self, text: &str) -> Result<(), Unknown> {
        match text.len() {
            len @ 0..=31 => self.push(0xa0 | len as u8),
            len @ 32..=0xff => put(self, 0xd9, (len as u8).to_be_bytes()),
            len @ 0x100..=0xffff => put(self, 0xda, (len as u16).to_be_bytes()),
            len => put(self, 0xdb, length(len)?.to_be_bytes()),
        }
        self.extend_from_slice(text.as_bytes());
        Ok(())
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Unknown> {
        match bytes.len() {
            len @ 0..=0xff => put(self, 0xc4, (len as u8).to_be_bytes()),
            len @ 0x100..=0xffff => put(self, 0xc5, (len as u16).to_be_bytes()),
            len => put(self, 0xc6, length(len)?.to_be_bytes()),
        }
        self.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn array(&mut self, len: Option<usize>) -> Result<(), Unknown> {
        open(self, len, [0x90, 0xdc, 0xdd])
    }

    #[inline]
    fn map(&mut self, len: Option<usize>) -> Result<(), Unknown> {
        open(self, len, [0x80, 0xde, 0xdf])
    }
}

/// The head of a sequence or of a map: one byte up to 15 elements, or one before two or four bytes.
#[inline]
fn open(to: &mut Vec<u8>, len: Option<usize>, heads: [u8; 3]) -> Result<(), Unknown> {
    match len.ok_or(Unknown)? {
        len @ 0..=15 => to.push(heads[0] | len as u8),
        len @ 16..=0xffff => put(to, heads[1], (len as u16).to_be_bytes()),
        len => put(to, heads[2], length(len)?.to_be_bytes()),
    }
    Ok(())
}

/// What is longer than a length can say is left to others.
#[inline]
fn length(len: usize) -> Result<u32, Unknown> {
    u32::try_from(len).map_err(|_longer| Unknown)
}
