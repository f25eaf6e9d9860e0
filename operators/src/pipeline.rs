//! Operators of one's own between the links and the twins, and behind the twins.
//!
//! Before the twins everything works on rows: a message keeps its epoch, its receipt and its
//! position, so acknowledgement follows the frontier whatever becomes of it. What an operator drops
//! is counted, what it fails on becomes a dead letter of its source, and what it readdresses is
//! gathered anew by owner (law S8).
//!
//! Reading order: `inbound.rs` is what a closure sees, `out.rs` what it gives, `stage.rs` the rows
//! that come of it.

mod inbound;
mod out;
mod stage;

pub use self::{
    inbound::Inbound,
    out::{Out, Route},
};

pub(crate) use self::stage::{Stage, rows_through};
