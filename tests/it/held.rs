//! Held.
