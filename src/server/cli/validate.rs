//! `twinflow validate`.

use std::sync::Arc;

use clap::Args;

use super::{FileArgs, ListenArgs, output::print};
use crate::{
    config::Registries,
    error::Result,
    server::{
        audit::Audit,
        keys,
        mount::{Binding, Doors, Mounts},
        run,
    },
};

/// `twinflow validate`
#[derive(Debug, Args)]
pub(super) struct Validate {
    #[command(flatten)]
    file: FileArgs,
    /// Check the file only: reach nothing, listen nowhere
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    listen: ListenArgs,
}

impl Validate {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        let config = self.file.load(kinds)?;
        let binding = if self.offline { Binding::Never } else { Binding::Now };
        let audit = Arc::new(Audit::new(&config.state.dir));
        let access = keys::open(&config.server, &audit)?;
        let doors = Doors { access, insecure: self.listen.insecure_listen };
        run::open_to_all(&config, &doors)?;
        drop(run::open_tls(&config)?);
        drop(Mounts::of(&config.connections, binding, &doors)?);
        if !self.offline {
            drop(run::listen(&config)?);
        }
        let (models, connections) = (config.models.len(), config.connections.len());
        let file = config.file.display();
        print(&format!("{file}: ok: models: {models}, connections: {connections}\n"))
    }
}
