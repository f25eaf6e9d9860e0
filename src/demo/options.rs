//! The command line of the demonstration.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

/// `twinflow demo`
#[derive(Clone, Debug, Args)]
pub struct DemoOptions {
    /// Simulated devices: half wind turbines, half gas sensors
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub devices: u32,
    /// Messages a second of all devices together; 0: as fast as it goes
    #[arg(long, value_name = "R", default_value_t = 2000)]
    pub rate: u64,
    /// Ends by itself after so many seconds and a drain; 0: runs until Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seconds: u64,
    /// Kills its own engine every 5 s and shows that nothing acknowledged is lost
    #[arg(long)]
    pub kill: bool,
    /// Address of the engine; default 127.0.0.1:7700, or any port if that is taken
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Form of what is printed
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub output: DemoOutput,
}

impl Default for DemoOptions {
    fn default() -> Self {
        let output = DemoOutput::Table;
        Self { devices: 1000, rate: 2000, seconds: 0, kill: false, listen: None, output }
    }
}

/// `--output`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DemoOutput {
    /// A live table and a summary, for people
    #[default]
    Table,
    /// One object at the end, for programs
    Json,
}

/// `twinflow demo-engine`: the engine that `demo --kill` starts and kills.
#[derive(Clone, Debug, Args)]
pub struct DemoEngineOptions {
    /// Where the twins are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Address of the engine
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Address of the broker that runs in the parent
    #[cfg(feature = "demo-broker")]
    #[arg(long, value_name = "ADDR")]
    pub broker: Option<SocketAddr>,
}

impl DemoEngineOptions {
    /// The broker, if this build and the parent have one.
    pub(super) fn broker(&self) -> Option<SocketAddr> {
        #[cfg(feature = "demo-broker")]
        return self.broker;
        #[cfg(not(feature = "demo-broker"))]
        None
    }
}
