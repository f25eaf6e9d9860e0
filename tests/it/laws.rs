//! The laws that need a whole engine, by their letter.

mod durability;
mod letters;
mod processing;
mod sources;
mod stopping;
