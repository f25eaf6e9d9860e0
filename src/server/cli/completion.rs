//! `twinflow completion SHELL`.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output::print;
use crate::error::Result;

/// `twinflow completion`
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(super) fn run(self, command: &mut Command) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, command, "twinflow", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
