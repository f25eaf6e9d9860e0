//! The program under test: the server with a model that does what a message tells it to.

use std::{path::Path, process::ExitCode, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use twinflow::{Server, prelude::*};

/// Where this is set, a child ends itself as soon as it is one.
pub(crate) const DIES_AT_ONCE: &str = "TWINFLOW_TEST_DIES_AT_ONCE";

/// Runs the server.
pub(crate) fn main() -> ExitCode {
    let is_child = std::env::args().any(|argument| argument == "--supervised");
    if is_child && std::env::var_os(DIES_AT_ONCE).is_some() {
        std::process::abort();
    }
    Server::new().model::<Obeys>("obeys").main()
}

/// While this file is in the working directory, a state takes 20 ms to load.
pub(crate) const SLOW_STATES: &str = "slow-states";

/// Every number that the twin was told, in order.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Journal {
    #[serde(deserialize_with = "perhaps_slowly")]
    numbers: Vec<u64>,
}

fn perhaps_slowly<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    if Path::new(SLOW_STATES).exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Vec::deserialize(from)
}

impl TwinModel for Journal {
    type Message<'m> = Order;
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Order {
    /// Notes the number and answers it.
    Number(u64),
    /// Does something that no guard inside the process can catch, or a panic, which one can.
    Do(Deed),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    Panic,
    Abort,
    Loop,
    Overflow,
    Allocate,
    /// Sleeps for so many milliseconds.
    Sleep(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Obeys {}

impl MessageProcessor for Obeys {
    type Model = Journal;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        journal: &mut Journal,
        orders: Messages<'_, Order>,
    ) -> ProcessingResult {
        for order in orders {
            match order {
                Order::Number(number) => {
                    journal.numbers.push(*number);
                    cx.send_to_data_source(number)?;
                }
                Order::Do(deed) => deed.execute(),
            }
        }
        Ok(Outcome::Update)
    }
}

impl Deed {
    fn execute(&self) {
        match self {
            Self::Panic => panic!("as it was told"),
            Self::Abort => std::process::abort(),
            Self::Loop => loop {
                std::hint::spin_loop();
            },
            Self::Overflow => assert!(deeper(1) > 0),
            // More than any machine has: the allocator's answer is an abort.
            Self::Allocate => drop(Vec::<u8>::with_capacity(isize::MAX as usize)),
            Self::Sleep(millis) => std::thread::sleep(Duration::from_millis(*millis)),
        }
    }
}

/// Needs more stack with each step, and has no end that is ever reached.
fn deeper(step: u64) -> u64 {
    let room = std::hint::black_box([step; 256]);
    if step == u64::MAX { step } else { deeper(step + 1) + room[17] }
}
