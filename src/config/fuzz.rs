//! The configuration file as a target.

use std::path::Path;

use twinflow_operators::fuzz::Target;

use super::{Config, ConnectorKinds, Environment, Flags, Registries};
use crate::models::ModelKinds;

pub(crate) const TARGET: Target = Target {
    name: "config",
    files: &["src/config/parse.rs", "src/config/reference.rs", "src/config/section.rs"],
    run: config,
    seeds: || {
        let plain = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[state]\ndir = \"d\"\n\
                     commit = \"every-second\"\n[models.pumps]\ntype = \"wind-turbine\"\n\
                     limit_celsius = 95.5\ntwins_max = 10\n[connections.web]\ntype = \"rest\"\n\
                     models = [\"pumps\"]\nwait_ms = 0x10\n";
        let more = "models.a = { type = \"journal\", id = \"/id\" }\n\
                    server.workers = \"${env:N}\"\n[connections.\"b\"]\n\
                    type = \"rest\"\nlisten = \"${env:N}$${x}\"\n";
        vec![plain.into(), more.into()]
    },
};

/// Reads it, and shows what was read.
fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // A variable that sets a key may have anything in it, too.
    let set = ("TWINFLOW__CONNECTIONS__WEB__MODELS", &*text);
    let environment = Environment::from([("N", "2"), set]);
    let kinds = Registries { models: ModelKinds::stock(), connectors: ConnectorKinds::stock() };
    let file = Path::new("twinflow.toml");
    for environment in [Environment::default(), environment] {
        match Config::of_text(file, &text, &Flags::default(), &environment, &kinds) {
            Ok(config) => assert!(!config.show(&kinds).is_empty()),
            Err(errors) => assert!(!errors.to_string().is_empty()),
        }
    }
}
