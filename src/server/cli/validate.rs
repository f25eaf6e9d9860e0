//! `twinflow validate`.

use std::sync::Arc;

use clap::Args;

use super::{FileArgs, ListenArgs, complain, output::print};
use crate::{
    config::{Config, Registries},
    error::{Error, Result},
    server::{
        audit::Audit,
        keys,
        mount::{Binding, Doors, Mounts},
        reach::{self, Answer},
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
        let file = config.file.display().to_string();
        if !self.offline {
            reach_all(config)?;
        }
        print(&format!("{file}: ok: models: {models}, connections: {connections}\n"))
    }
}

/// Says of each connection that its upstream is there; of all that are not, why.
fn reach_all(mut config: Config) -> Result<()> {
    config.connections.retain(|connection| connection.options.enabled());
    let mut away: Vec<Error> = Vec::new();
    for Answer { name, address, reached } in reach::all(config.connections)? {
        let reached = match reached {
            Ok(reached) => reached,
            Err(error) => {
                away.push(error);
                continue;
            }
        };
        reached.warnings.iter().for_each(|why| complain(&format!("warning: {name}: {why}\n")));
        let Some(address) = address.filter(|_| reached.asked) else { continue };
        let partitions = match reached.partitions.len() {
            0 => String::new(),
            count => format!(", partitions: {count}"),
        };
        print(&format!("connection \"{name}\": {address} is there{partitions}\n"))?;
    }
    let Some(kind) = away.first().map(Error::kind) else { return Ok(()) };
    let all: Vec<_> = away.iter().map(Error::report).collect();
    Err(Error::new(kind, all.join("\n")))
}
