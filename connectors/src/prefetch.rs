//! Asks the processor for memory that will be read soon: the one place of this crate with `unsafe`.
//!
//! A look-up in a large table waits for memory; asked for a few rows ahead, it comes meanwhile.

/// Bytes of a cache line on every processor that has [`ask`].
const LINE: usize = 64;

/// A value is asked for up to this many bytes.
const BYTES_MAX: usize = 4 * LINE;

/// Asks for the cache lines of a value, at most four. Changes nothing that a program can see.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    let mut at = 0;
    while at < size_of::<T>().min(BYTES_MAX) {
        ask(start.wrapping_add(at));
        at += LINE;
    }
    // Values seldom begin where a line does: the last byte may be in a line more.
    if size_of::<T>() > 8 && size_of::<T>() <= BYTES_MAX {
        ask(start.wrapping_add(size_of::<T>() - 1));
    }
}

/// Asks for the first cache lines of some bytes, at most so many.
#[inline(always)]
pub fn prefetch_bytes(bytes: &[u8], lines: usize) {
    for line in bytes.iter().step_by(LINE).take(lines) {
        ask(line);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the processor's instruction has no safe form")]
#[inline(always)]
fn ask(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction gives nothing to the program and never faults, whatever the address;
    // here it lies in a value that is borrowed besides. It needs SSE, a part of every x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn ask(_address: *const u8) {}
