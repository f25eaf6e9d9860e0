//! The encoded form of a state: MessagePack with field names, as `rmp-serde` writes it.
//!
//! A state is encoded in nearly every call, and most states are plain structs. [`plain`] writes
//! those in about half the time: the compiler knows their names and shapes. What it does not know,
//! or what reports an error, it leaves to `rmp-serde`, so the bytes and the errors are the same.
//! It also tells how long the bytes can be at most without writing any.

mod plain;
mod sinks;

use serde::Serialize;

use self::{plain::Plain, sinks::Bound};

/// Appends the encoded form.
///
/// # Errors
///
/// The state does not serialise. Part of it may have been written.
#[inline]
pub(super) fn write<T: Serialize>(
    to: &mut Vec<u8>,
    state: &T,
) -> Result<(), rmp_serde::encode::Error> {
    let start = to.len();
    if state.serialize(&mut Plain::new(&mut *to)).is_ok() {
        return Ok(());
    }
    to.truncate(start);
    rmp_serde::encode::write_named(to, state)
}

/// The encoded form has at most so many bytes; `None`: only writing it can tell.
///
/// Where many epochs share a commit, a twin that changes a hundred times is written once; it need
/// not be encoded a hundred times. What law P1 asks of each call is that its state *can* be
/// encoded and keeps its limit: of a plain struct that is a few additions, or nothing.
#[inline]
pub(super) fn bound<T: Serialize>(state: &T) -> Option<usize> {
    let mut bound = Bound::default();
    state.serialize(&mut Plain::new(&mut bound)).ok().map(|()| bound.total())
}

#[cfg(test)]
mod tests;
