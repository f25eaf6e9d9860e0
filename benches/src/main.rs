//! The benchmark harness of twinflow; see README.md beside it.

use std::process::ExitCode;

use clap::Parser;
use twinflow_bench::args::Args;
use twinflow_bench::bench;
use twinflow_bench::result::Verdict;

fn main() -> ExitCode {
    match bench::run(&Args::parse().bench) {
        Ok(Verdict::Ok) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong | Verdict::Void) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("twinflow-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
