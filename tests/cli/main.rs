//! The program itself: what it prints, refuses and gives as exit code.

mod client;
mod damaged;
mod dead_letters;
mod help;
mod keys;
mod program;
mod reach;
mod refused;
mod state;
mod tls;
