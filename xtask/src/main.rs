//! `cargo xtask`: the one door to everything the repository can do to itself.
//!
//! [`verb`] lists what can be asked for, [`plan`] which steps each verb has, [`step`] runs them.
//! [`tidy`] and [`deny`] are the checks that no other tool makes.

#![expect(clippy::print_stdout, reason = "a command-line tool; its output is its purpose")]

mod cargo;
mod deny;
mod error;
mod faults;
mod plan;
mod servers;
mod step;
mod tidy;
mod unsound;
mod verb;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match verb::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            error.exit_code()
        }
    }
}
