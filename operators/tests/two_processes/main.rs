//! The same graph on two processes that speak over a socket pair: what one of them has, the other
//! applies; what one of them has not, the other does not wait for.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "abomonation")]
mod abom;
mod cluster;
mod laws;
mod store;
mod twin;
