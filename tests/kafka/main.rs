//! The program with a Kafka connection: cases of the behaviour, and kills under load.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod killed;
mod program;
