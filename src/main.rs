//! The stock server: the stock models and connectors behind the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinflow::Server::new().main()
}
