//! Tests of the whole log: on a disk that fails and loses power, and on the real one.

mod crash;
mod damage;
mod driver;
mod golden;
mod joint;
mod real;
mod recovering;
mod sim;
mod steps;
mod sweeping;
mod world;
