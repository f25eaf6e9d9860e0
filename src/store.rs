//! What makes epochs durable: the stores behind [`EpochStore`](twinflow_operators::store::EpochStore).
//!
//! [`MemoryStore`] keeps nothing and is only ever chosen explicitly (law D13).

mod dead_letter;
#[cfg(any(test, feature = "testing"))]
mod held;
mod memory;

#[cfg(any(test, feature = "testing"))]
pub use held::{HeldCounts, HeldStore};
pub use memory::MemoryStore;
