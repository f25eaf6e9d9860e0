//! What a user has: packages outside of this workspace, built and run as the README says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod new;
mod package;
mod readme;
