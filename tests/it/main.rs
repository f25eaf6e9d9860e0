//! The engine through its public API, with the in-process broker: delivery, grouping, dead letters,
//! acknowledgement, reads.

mod common;
mod delivery;
mod grouping;
mod held;
mod restart;
