//! What a server says when it starts: version, file, addresses, store, guarantees, models.

use std::{fmt::Write, net::SocketAddr};

use super::mount::Mounts;
use crate::{
    config::{Config, StoreKind},
    connectors::Guarantee,
    engine::Commit,
};

/// The banner as lines of text.
pub(super) fn banner(config: &Config, api: SocketAddr, mounts: &Mounts) -> String {
    let mut text = format!("twinflow {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: String| {
        writeln!(text, "  {name:<12} {value}").expect("writing to a string never fails");
    };
    line("file", config.file.display().to_string());
    line("api", format!("http://{api}"));
    line("store", store(config));
    line("workers", config.server.workers.to_string());
    for model in &config.models {
        line("model", format!("{} (type \"{}\")", model.name, model.kind));
    }
    if config.connections.is_empty() {
        line("connection", "none: no message can come in; add [connections.web]".into());
    }
    for connection in &config.connections {
        let own = mounts.listening.iter().find(|(name, _)| *name == connection.name);
        let place = match own {
            Some((_, address)) => format!(" on http://{address}"),
            None if !connection.options.enabled() => ", disabled".into(),
            None => String::new(),
        };
        let (name, kind) = (&connection.name, connection.kind);
        let promised = connection.connector.info().guarantee;
        let (guarantee, wait) = (guarantee(promised), wait(config, promised));
        line("connection", format!("{name} (type \"{kind}\"{place}): {guarantee}{wait}"));
    }
    text
}

fn store(config: &Config) -> String {
    match config.state.store {
        StoreKind::Log => {
            let dir = config.state.dir.display();
            let synced = match config.state.commit {
                Commit::EveryEpoch => "",
                Commit::EverySecond => ", synced every second",
            };
            format!("log in {dir}{synced}: what is acknowledged survives a crash")
        }
        StoreKind::Memory => "memory: GIVES UP everything that was acknowledged when the process \
                              ends; twins start anew"
            .into(),
    }
}

/// What it means for a connection that many epochs share one sync.
fn wait(config: &Config, guarantee: Guarantee) -> &'static str {
    match (config.state.store, config.state.commit, guarantee) {
        (StoreKind::Log, Commit::EverySecond, Guarantee::ExactlyOnce) => {
            "; its position moves every second"
        }
        (StoreKind::Log, Commit::EverySecond, Guarantee::AtLeastOnce) => {
            "; a message waits up to a second for its acknowledgement, so a window of 20 messages \
             lets through 20 a second"
        }
        _ => "",
    }
}

/// A guarantee in words.
pub(super) fn guarantee(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::ExactlyOnce => "exactly once on state",
        Guarantee::AtLeastOnce => "at least once; exactly once where messages carry an id",
    }
}
