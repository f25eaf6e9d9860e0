//! Asks the processor for memory that will be read soon: the one place of this crate with `unsafe`.
//!
//! A look-up in a large table waits for memory; asked for a few rows ahead, it comes meanwhile.

/// Asks for the cache line that a value begins in. Changes nothing that a program can see.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "the processor's instruction has no safe form")]
        // SAFETY: the instruction reads nothing into the program and never faults, whatever the
        // address; this one comes from a reference and is valid besides. It needs SSE, which is
        // part of every x86-64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
