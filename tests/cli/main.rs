//! The program itself: what it prints, refuses and gives as exit code.

mod client;
mod dead_letters;
mod help;
mod program;
mod refused;
