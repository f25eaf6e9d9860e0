//! Your models inside the full server: file, command line, HTTP API, metrics.
//!
//! Run it with a file that names the kind, for example `my.toml`:
//!
//! ```toml
//! [models.pumps]
//! type = "pump"
//! starts_max = 100
//!
//! [connections.web]
//! type = "rest"
//! ```
//!
//! `cargo run --example my_server -- run -c my.toml`, then
//! `cargo run --example my_server -- send pumps p-1 '{"starts": 101}'`. Every other command of
//! `twinflow` is there, too: `validate`, `config`, `twins get pumps p-1`.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use twinflow::prelude::*;

/// What a pump reports.
#[derive(Deserialize)]
struct Report {
    starts: u64,
}

/// The live state of one pump.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Pump {
    starts: u64,
}

impl TwinModel for Pump {
    type Message<'m> = Report;
}

/// Asks for service after too many starts. Its fields are the settings in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PumpWatch {
    starts_max: u64,
}

impl MessageProcessor for PumpWatch {
    type Model = Pump;

    fn process_messages(
        &self,
        cx: &mut ProcessingContext<'_>,
        pump: &mut Pump,
        reports: Messages<'_, Report>,
    ) -> ProcessingResult {
        pump.starts += reports.iter().map(|report| report.starts).sum::<u64>();
        if pump.starts > self.starts_max {
            cx.send_to_data_source("service")?;
            pump.starts = 0;
        }
        Ok(Outcome::Update)
    }
}

fn main() -> ExitCode {
    twinflow::Server::new().model::<PumpWatch>("pump").main()
}
