//! `twinflow run` as two processes: a small parent without timely, and the engine as its child.
//!
//! The parent binds the listeners and hands them to every child, so that clients wait in the
//! backlog during a restart instead of being refused. It starts the child in a process group of
//! its own, passes SIGINT and SIGTERM on, starts a child that died again (laws F3, F4), and ends
//! with the child's exit code. The child ends with its parent.
//!
//! Reading order: `history.rs` decides and does nothing else, `parent.rs` does it, `hand_over.rs`
//! is what passes between the two, `child.rs` is the child's end.

mod child;
mod hand_over;
#[cfg(feature = "testing")]
pub(crate) use hand_over::TARGET;
mod history;
mod parent;

pub(crate) use self::{
    child::Child,
    hand_over::{Inherited, Listener},
    parent::supervise,
};
