//! The program itself: what it prints, refuses and gives as exit code.

mod client;
mod damaged;
mod dead_letters;
mod full;
mod help;
mod keys;
mod program;
mod reach;
mod refused;
#[cfg(all(feature = "kafka", feature = "mqtt"))]
mod secrets;
mod state;
mod tls;
