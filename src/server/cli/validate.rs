//! `twinflow validate`.

use clap::Args;

use super::{FileArgs, output::print};
use crate::{
    config::Registries,
    error::Result,
    server::mount::{Binding, Mounts},
};

/// `twinflow validate`
#[derive(Debug, Args)]
pub(super) struct Validate {
    #[command(flatten)]
    file: FileArgs,
    /// Check the file only: reach nothing, listen nowhere
    #[arg(long)]
    offline: bool,
}

impl Validate {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        let config = self.file.load(kinds)?;
        let binding = if self.offline { Binding::Never } else { Binding::Now };
        drop(Mounts::of(&config.connections, binding)?);
        if !self.offline {
            drop(crate::server::run::listen(&config)?);
        }
        let (models, connections) = (config.models.len(), config.connections.len());
        let file = config.file.display();
        print(&format!("{file}: ok: models: {models}, connections: {connections}\n"))
    }
}
