//! Operators of one's own between the links and the twins, and behind the twins.
//!
//! Before the twins everything works on rows: a message keeps its epoch, its receipt and its
//! position, so acknowledgement follows the frontier whatever becomes of it. What an operator drops
//! is counted, what it fails on becomes a dead letter of its source, and what it readdresses is
//! gathered anew by owner (law S8).
//!
//! Reading order: `inbound.rs` is what a closure sees, `out.rs` what it gives, `stage.rs` the rows
//! that come of it. `change.rs` is what is seen behind the twins, `enrich.rs` carries it back.

mod behind;
mod change;
mod check;
mod enrich;
mod inbound;
mod out;
mod side;
mod stage;
mod window;

pub use self::{
    behind::{Behind, Happened},
    change::Change,
    enrich::Table,
    inbound::Inbound,
    out::{Out, Route},
    window::{Window, WindowResult},
};

pub(crate) use self::{
    change::{AT_START, ChangeBuffer, changes},
    check::checked,
    enrich::{TableRow, enrich, to_all},
    side::Side,
    stage::{Stage, rows_through},
};
