//! Tests of the whole log: on a disk that fails and loses power, and on the real one.

mod carried;
mod crash;
mod damage;
mod driver;
mod golden;
mod joint;
mod mutated;
mod real;
mod recovering;
mod steps;
mod sweeping;
mod world;
