//! The stock server: the stock models and connectors behind the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What one thread asks for another often frees: connections, workers, and the tasks between them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    twinflow::Server::new().main()
}
