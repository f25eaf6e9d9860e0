//! The program itself: what it prints, refuses and gives as exit code.

mod client;
mod help;
mod program;
mod refused;
